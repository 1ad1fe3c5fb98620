"""Hot requests, evenly, from a process of its own: `python3 -m support.probe WEIR_PORT STILL_PORT`.

By turns: a manifest, a blob and /livez of weir, and the same from a server that answers at once (still), which tells what a
request costs on this machine meanwhile. "forget" begins anew; "tell" gives the seconds of each since then.
"""

import json
import select
import socket
import sys
import time

from .attackers import HOT, HOT_BLOB

EVERY = 0.0025
RENEW = 20               # requests of a connection: new ones come to other loops
LATE = 10


class Target:
    def __init__(self, port, path):
        self.port, self.path, self.asked = port, path, 0
        self.socket, self.seconds, self.errors = None, [], 0

    def ask(self):
        began = time.monotonic()
        try:
            if not self.socket:
                self.socket = socket.create_connection(("127.0.0.1", self.port), LATE)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(f"GET {self.path} HTTP/1.1\r\nHost: probe\r\n\r\n".encode())
            self.read()
        except (OSError, ValueError):
            self.errors += 1
            self.close()
        self.seconds.append(time.monotonic() - began)
        self.asked += 1
        if self.asked % RENEW == 0:
            self.close()

    def read(self):
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.receive()
        head, _, body = got.partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1] != b"200":
            raise ValueError(head)
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
        while left:
            left -= len(self.receive())

    def receive(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise OSError("closed")
        return piece

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


def main(weir, still):
    targets = {"still": Target(still, "/"), "manifest": Target(weir, HOT), "blob": Target(weir, HOT_BLOB),
               "livez": Target(weir, "/livez")}
    while True:
        for target in targets.values():
            target.ask()
            if not select.select([sys.stdin], [], [], EVERY)[0]:
                continue
            word = sys.stdin.readline().strip()
            if not word:
                return
            print(json.dumps({"seconds": {name: t.seconds for name, t in targets.items()},
                              "errors": {name: t.errors for name, t in targets.items()}}), flush=True)
            for each in targets.values():
                each.seconds, each.errors = [], 0


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
