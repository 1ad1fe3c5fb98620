"""Loads: wrk for rates and latencies, and an own reader that holds many downloads open."""

import json
import pathlib
import selectors
import socket
import time

from support.proc import run
from support.wire import ACCEPT

# wrk prints for people; this prints what it counted.
DONE = """\
done = function(summary, latency)
    io.write(string.format('{"requests":%d,"seconds":%f,"bytes":%d,"errors":%d,"p50_us":%f,"p99_us":%f}\\n',
        summary.requests, summary.duration / 1e6, summary.bytes,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


def exact_cpu_seconds(pid):
    """As cpu_seconds() of the tests, of threads that live: the ticks of stat are too coarse for a server that mostly waits."""
    return sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def wrk(folder, server, what, connections, seconds, tls=False, headers=()):
    """Loads one path of one server and returns what it cost: requests/s, CPU a request and a GiB, latencies."""
    script = pathlib.Path(folder) / "done.lua"
    script.write_text(DONE)
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script, "-H", f"Accept: {ACCEPT}"]
    for header in headers:
        argv += ["-H", header]
    pid = server.pid
    before = exact_cpu_seconds(pid)
    out = run([*argv, server.url(tls) + server.path(what)], seconds=seconds + 60).stdout
    cpu = exact_cpu_seconds(pid) - before
    told = json.loads(out.strip().splitlines()[-1])
    # A request that the end of the run broke off has still cost: bytes are counted as they came.
    return {
        "requests": told["requests"], "rate": told["requests"] / told["seconds"], "errors": told["errors"],
        "cpu_us_per_request": cpu * 1e6 / max(1, told["requests"]),
        "cpu_s_per_gib": cpu / max(1e-9, told["bytes"] / 2 ** 30),
        "mb_per_s": told["bytes"] / told["seconds"] / 1e6,
        "p50_ms": told["p50_us"] / 1e3, "p99_ms": told["p99_us"] / 1e3, "cpu_share": cpu / told["seconds"],
    }


class Downloads:
    """Many downloads at once, read as they come and thrown away."""

    def __init__(self, address, paths):
        self.selector = selectors.DefaultSelector()
        self.buffer = memoryview(bytearray(1 << 18))
        self.bytes, self.open, self.failed = 0, 0, 0
        for path in paths:
            sock = socket.create_connection(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 32768)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
            self.open += 1

    def run(self, seconds):
        """Reads for so long, or until all have ended."""
        until = time.monotonic() + seconds
        while self.open and time.monotonic() < until:
            for key, _ in self.selector.select(0.2):
                try:
                    got = key.fileobj.recv_into(self.buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    self.failed += 1
                    got = 0
                self.bytes += got
                if not got:
                    self._close(key.fileobj)

    def _close(self, sock):
        self.selector.unregister(sock)
        sock.close()
        self.open -= 1

    def close(self):
        for key in list(self.selector.get_map().values()):
            self._close(key.fileobj)
