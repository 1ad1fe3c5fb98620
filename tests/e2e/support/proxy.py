"""A forward proxy: CONNECT and absolute targets, every name led to this machine, everything it was asked kept."""

import base64
import http.client
import socket
import threading
import urllib.parse


class Proxy:
    def __init__(self, user=None):
        self.user, self.asked = user, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self):
        return f"http://{self.user + '@' if self.user else ''}127.0.0.1:{self.port}"

    def stop(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            reader = client.makefile("rb")
            method, target, _ = reader.readline().decode().split()
            headers = http.client.parse_headers(reader)
            self.asked.append((method, target))
            wanted = self.user and "Basic " + base64.b64encode(self.user.encode()).decode()
            if wanted and headers.get("Proxy-Authorization") != wanted:
                client.sendall(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n")
                return
            if method == "CONNECT":
                server = socket.create_connection(("127.0.0.1", int(target.rsplit(":", 1)[1])))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                parts = urllib.parse.urlsplit(target)
                server = socket.create_connection(("127.0.0.1", parts.port or 80))
                lines = [f"{method} {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
                lines += [f"{k}: {v}" for k, v in headers.items() if not k.lower().startswith("proxy-")]
                server.sendall(("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode())
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()
        except (OSError, ValueError):
            pass
        finally:
            client.close()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
