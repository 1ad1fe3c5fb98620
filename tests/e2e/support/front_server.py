"""The process behind Front: HTTP/1.1 over TLS or plain, a token server, and every way in which an upstream can fail.

It stands before a real docker-registry, to which everything is passed on that no rule changes. One thread a connection,
so a body that is held to a rate or that stalls disturbs nobody. Run as `python3 -m support.front_server SETTINGS.json`;
the test side (front.py) steers it over a control port.
"""

import http.client
import http.server
import json
import os
import random
import re
import secrets
import socket
import ssl
import sys
import threading
import time
import urllib.parse

from . import front_faults as faults
from .front_faults import Gone

threading.stack_size(512 * 1024)
NAMES = {200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
         400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 416: "Range Not Satisfiable",
         429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
PATHS = re.compile(r"^/v2/(?:(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<reference>[^/]+))?$")


class Request:
    def __init__(self, method, target, version, headers, body):
        self.method, self.target, self.version, self.headers, self.body = method, target, version, headers, body
        parts = urllib.parse.urlsplit(target)
        self.path, self.query = parts.path, dict(urllib.parse.parse_qsl(parts.query))
        match = PATHS.match(self.path)
        self.name = match and match["name"]
        self.reference = match and match["reference"]
        if self.path == "/token":
            self.kind = "token"
        elif self.path.startswith("/cdn/"):
            self.kind, self.reference = "blob", self.path.rsplit("/", 1)[1]
        elif match:
            self.kind = {None: "ping", "manifests": "manifest", "blobs": "blob"}.get(match["kind"], match["kind"])
        else:
            self.kind = "other"


def read_request(reader):
    line = reader.readline(65536)
    if not line:
        raise Gone
    method, target, version = line.decode("latin-1").split()
    headers = {}
    while (line := reader.readline(65536)) not in (b"\r\n", b"\n"):
        if not line:
            raise Gone
        name, _, value = line.decode("latin-1").partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Request(method, target, version, headers, body)


class Tokens:
    """The token server's memory, and the challenge that sends clients to it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.known = {}

    def issue(self, auth, scopes, user):
        token = "tok-" + secrets.token_hex(16)
        with self.lock:
            self.known[token] = (time.monotonic() + auth.get("life", 300), scopes, user)
        return token

    def allows(self, token, name):
        with self.lock:
            expires, scopes, _ = self.known.get(token, (0, [], None))
        return expires > time.monotonic() and (name is None or any(f"repository:{name}:" in scope for scope in scopes))

    def revoke(self):
        with self.lock:
            self.known.clear()


class Listener:
    """One port. `mode` is accept, refuse (the port is closed) or silent (accepts and never says a word)."""

    def __init__(self, server, name, address, port, context):
        self.server, self.name, self.context, self.address = server, name, context, address
        self.mode, self.held, self.socket = "accept", [], None
        self.port = port
        self.open()

    def open(self):
        self.socket = socket.create_server((self.address, self.port), backlog=1024)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.socket,), daemon=True).start()

    def set_mode(self, mode):
        if mode == "refuse" and self.socket:
            # shutdown() wakes the accepting thread; close() alone would leave the port open until its next connection.
            self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
            self.socket = None
            self.server.hang_up()
        self.mode = mode
        if mode == "silent":
            self.server.hang_up()
        if mode == "accept":
            held, self.held = self.held, []
            for connection in held:
                connection.close()
        if mode != "refuse" and not self.socket:
            self.open()

    def accept(self, listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            if self.mode == "silent":
                self.held.append(connection)
                with self.server.lock:
                    self.server.silent_connections += 1
                continue
            # Here, or hang_up() could miss it.
            with self.server.lock:
                self.server.live.add(connection)
            threading.Thread(target=self.server.serve, args=(self, connection), daemon=True).start()


class Server:
    def __init__(self, settings):
        self.settings = settings
        self.lock = threading.Lock()
        self.log, self.rules, self.fired = [], [], set()
        self.tokens = Tokens()
        self.live = set()
        self.silent_connections = 0
        self.local = threading.local()
        self.listeners = {}
        for name, wanted in settings["listeners"].items():
            context = None
            if wanted.get("cert"):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(wanted["cert"], wanted["key"])
                context.minimum_version = ssl.TLSVersion.TLSv1_2
            self.listeners[name] = Listener(self, name, wanted.get("address", "127.0.0.1"), wanted.get("port", 0), context)

    # --- connections ---

    def hang_up(self):
        with self.lock:
            live = list(self.live)
        for connection in live:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(self, listener, connection):
        plain = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if listener.context:
                connection.settimeout(20)
                connection = listener.context.wrap_socket(connection, server_side=True)
                with self.lock:
                    self.live.discard(plain)
                    self.live.add(connection)
            connection.settimeout(600)
            reader = connection.makefile("rb")
            while self.answer(listener, connection, read_request(reader)):
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.live.discard(plain)
                self.live.discard(connection)
            # What the kernel still holds is delivered; the client then sees the end of the stream.
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
            if up := getattr(self.local, "registry", None):
                up.close()

    def answer(self, listener, connection, request):
        """Answers one request; true when the connection may carry another."""
        entry = {"at": time.time(), "listener": listener.name, "method": request.method, "path": request.path,
                 "query": request.query, "headers": request.headers, "kind": request.kind, "name": request.name,
                 "reference": request.reference, "status": 0, "sent": 0, "done": False, "challenged": False}
        with self.lock:
            entry["number"] = len(self.log)
            self.log.append(entry)
        plan = faults.plan(self, listener.name, request)
        entry["rules"] = plan.names
        if plan.drop:
            raise Gone
        if plan.hang:
            self.wait_for_close(connection)
        if plan.delay:
            time.sleep(plan.delay)
        if plan.status:
            return self.reply(connection, request, entry, plan.status, plan.headers, plan.body)
        if plan.redirect:
            place = plan.redirect.format(digest=request.reference, name=request.name, path=request.path)
            return self.reply(connection, request, entry, 307, {"Location": place, **plan.headers}, b"")
        if request.kind == "token":
            return self.token(connection, request, entry)
        if listener.name != "cdn" and (refused := self.challenge(listener, request)):
            entry["challenged"] = True
            plan.take_back(self.lock)
            return self.reply(connection, request, entry, 401, {**refused, **plan.headers},
                              b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}')
        return self.forward(connection, request, entry, plan)

    def wait_for_close(self, connection):
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass
        raise Gone

    def reply(self, connection, request, entry, status, headers, body):
        entry["status"] = status
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        self.send_head(connection, status, head.items())
        if request.method != "HEAD":
            connection.sendall(body)
            entry["sent"] = len(body)
        entry["done"] = True
        return request.headers.get("connection", "").lower() != "close"

    @staticmethod
    def send_head(connection, status, headers):
        lines = [f"HTTP/1.1 {status} {NAMES.get(status, 'Whatever')}", *(f"{k}: {v}" for k, v in headers)]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    # --- authentication ---

    def own_url(self, listener):
        scheme = "https" if listener.context else "http"
        return f"{scheme}://{self.settings.get('host', '127.0.0.1')}:{listener.port}"

    def challenge(self, listener, request):
        """The header of a 401, or nothing when the request may pass."""
        auth = self.settings.get("auth")
        if not auth or not request.path.startswith("/v2/"):
            return None
        given = request.headers.get("authorization", "")
        if auth.get("scheme") == "basic":
            if faults.basic_user(given, auth["users"]):
                return None
            return {"WWW-Authenticate": 'Basic realm="weir test"'}
        if given.startswith("Bearer ") and self.tokens.allows(given[7:], request.name):
            return None
        if auth.get("challenge"):
            return {"WWW-Authenticate": auth["challenge"].format(url=self.own_url(listener), name=request.name)}
        realm = auth.get("realm", self.own_url(listener) + "/token")
        scope = f',scope="repository:{request.name}:pull"' if request.name else ""
        return {"WWW-Authenticate": f'Bearer realm="{realm}",service="weir-test"{scope}'}

    def token(self, connection, request, entry):
        auth = self.settings.get("auth") or {}
        form = {**request.query, **dict(urllib.parse.parse_qsl(request.body.decode("latin-1")))}
        scopes = form.get("scope", "").split(" ")
        user = faults.basic_user(request.headers.get("authorization", ""), auth.get("users", {}))
        wants_private = any(re.search(private, scope) for private in auth.get("private", ()) for scope in scopes)
        if (request.headers.get("authorization") and not user) or (not user and (wants_private or auth.get("closed"))):
            return self.reply(connection, request, entry, 401, {}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')
        token = self.tokens.issue(auth, scopes, user)
        entry["token"] = token
        answer = {auth.get("token_key", "token"): token, "issued_at": "2026-01-01T00:00:00Z"}
        if auth.get("say_expiry", True):
            answer["expires_in"] = auth.get("life", 300)
        return self.reply(connection, request, entry, 200, {}, json.dumps(answer).encode())

    # --- passing on ---

    def registry(self):
        if not getattr(self.local, "registry", None):
            self.local.registry = http.client.HTTPConnection("127.0.0.1", self.settings["registry_port"], timeout=600)
        return self.local.registry

    def forward(self, connection, request, entry, plan):
        if request.kind == "blob" and request.method == "GET" and self.settings.get("files"):
            served = self.serve_file(connection, request, entry, plan)
            if served is not None:
                return served
        path = request.target
        if path.startswith("/cdn/"):
            path = path.removeprefix("/cdn")
        passed = {k: v for k, v in request.headers.items() if k not in ("host", "authorization", "connection", "content-length")}
        if plan.no_range:
            passed.pop("range", None)
        up = self.registry()
        try:
            up.request(request.method, path, headers=passed)
            answer = up.getresponse()
        except (http.client.HTTPException, OSError):
            up.close()
            up.request(request.method, path, headers=passed)
            answer = up.getresponse()
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("connection", "date", "content-length")]
        length = int(answer.headers.get("content-length", 0))
        start = 0
        if match := re.match(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("content-range", "")):
            start, total = int(match[1]), int(match[2])
        else:
            total = length
        if answer.status not in (200, 206) or request.method == "HEAD":
            start = total = 0
        source = faults.Reader(answer)
        try:
            return self.send(connection, request, entry, plan, answer.status, headers, source, start, length, total)
        finally:
            if not answer.isclosed():
                up.close()
                self.local.registry = None

    def serve_file(self, connection, request, entry, plan):
        path = faults.blob_path(self.settings["registry_root"], request.reference)
        if not path or not os.path.exists(path):
            return None
        total = os.path.getsize(path)
        wanted = None if plan.no_range else faults.byte_range(request.headers.get("range"), total)
        headers = [("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", request.reference),
                   ("Accept-Ranges", "bytes"), ("Etag", f'"{request.reference}"')]
        if wanted == "unsatisfiable":
            return self.reply(connection, request, entry, 416, {"Content-Range": f"bytes */{total}"}, b"")
        start, end = wanted or (0, total)
        if wanted:
            headers.append(("Content-Range", f"bytes {start}-{end - 1}/{total}"))
        with open(path, "rb") as file:
            return self.send(connection, request, entry, plan, 206 if wanted else 200, headers,
                             faults.FileReader(file, start), start, end - start, total)

    def send(self, connection, request, entry, plan, status, headers, source, start, length, total):
        entry["status"] = status
        own = {k.lower() for k in plan.headers}
        headers = [(k, v) for k, v in headers if k.lower() not in own and k.lower() not in plan.strip]
        headers += list(plan.headers.items()) + [("Content-Length", str(length + plan.length_delta))]
        if request.method == "HEAD":
            self.send_head(connection, status, headers)
            entry["done"] = True
            return True
        self.send_head(connection, status, headers)
        body = faults.Body(self, plan, request, entry, source, start, min(length, length + plan.length_delta), total)
        body.send(connection)
        if plan.length_delta > 0:
            raise Gone
        entry["done"] = True
        return request.headers.get("connection", "").lower() != "close"

    # --- control ---

    def control(self, command):
        operation = command.pop("op")
        with self.lock:
            if operation == "log":
                return self.log[command.get("since", 0):]
            if operation == "rules":
                self.rules = [dict(rule, uses=0) for rule in command["rules"]]
                self.fired.clear()
                return len(self.rules)
            if operation == "settings":
                self.settings.update(command["settings"])
                return True
            if operation == "silent_connections":
                return self.silent_connections
        if operation == "mode":
            self.listeners[command["listener"]].set_mode(command["mode"])
        elif operation == "revoke":
            self.tokens.revoke()
        elif operation == "hang_up":
            self.hang_up()
        return True


def control_server(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(server.control(command)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main():
    random.seed()
    settings = json.load(open(sys.argv[1]))
    server = Server(settings)
    control = control_server(server)
    ready = {"control": control.server_address[1], **{name: l.port for name, l in server.listeners.items()}}
    with open(settings["ready_file"] + ".new", "w") as out:
        json.dump(ready, out)
    os.rename(settings["ready_file"] + ".new", settings["ready_file"])
    control.serve_forever()


if __name__ == "__main__":
    main()
