"""A server held to a rate: its bytes pass through the kernel only (splice), which leaves the cores to what is measured.

Relay is the test's side; the process is `python3 -m support.relay SERVER_PORT BYTES_PER_SECOND READY_FILE`.
"""

import contextlib
import fcntl
import os
import pathlib
import socket
import sys
import threading
import time

from .proc import Process

HERE = pathlib.Path(__file__).resolve().parent.parent
PIECE = 256 * 1024
# What was not sent for want of the processor may be made up for, but no more of it.
SLACK = 0.02


class Relay:
    def __init__(self, folder, server_port, rate):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True)
        ready = folder / "port"
        self.process = Process([sys.executable, "-m", "support.relay", server_port, rate, ready], folder / "log",
                               cwd=HERE)
        self.process.wait_until(ready.exists, say="the relay")
        self.port = int(ready.read_text())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.kill()


class Pace:
    """One for all connections."""

    def __init__(self, rate):
        self._rate, self._free_at = rate, 0.0
        self._lock = threading.Lock()

    def wait(self, size):
        with self._lock:
            now = time.monotonic()
            at = max(now - SLACK, self._free_at)
            self._free_at = at + size / self._rate
        if at > now:
            time.sleep(at - now)


def move(source, sink, pace):
    read_end, write_end = os.pipe()
    try:
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIECE)
        while size := os.splice(source.fileno(), write_end, PIECE):
            if pace:
                pace.wait(size)
            while size:
                size -= os.splice(read_end, sink.fileno(), size)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(read_end)
        os.close(write_end)


def serve(client, server_port, pace):
    with client, socket.create_connection(("127.0.0.1", server_port)) as server:
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = threading.Thread(target=move, args=(client, server, None), daemon=True)
        up.start()
        move(server, client, pace)
        up.join()


def main(server_port, rate, ready):
    pace = Pace(int(rate))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    new = pathlib.Path(ready + ".new")
    new.write_text(str(listener.getsockname()[1]))
    new.rename(ready)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, int(server_port), pace), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
