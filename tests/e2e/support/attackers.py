"""Clients that mean no good, each a cheap process: `python3 -m support.attackers NAME PORT`.

It says "in place" when the harm is under way, and leaves when its standard input ends. What it does is bounded in number,
so that it takes little of the machine itself; floods go on, evenly, until they are told to end.
"""

import os
import re
import select
import socket
import sys
import time

from .neighbour_images import BIG, digest_of, heavy, image, noise

HOT = "/v2/docker.io/lab/0/manifests/v1"
HOT_BLOB = f"/v2/docker.io/lab/0/blobs/{image(0).layer_digest}"
CLAIMED = range(100, 150)      # images that both upstreams are asked for


def told_to_leave():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def in_place():
    print("in place", flush=True)


def stay():
    in_place()
    sys.stdin.read()


class Connection:
    def __init__(self, port, buffer=None):
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))

    def say(self, path, method="GET", host="x", **fields):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields.items())]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.method = method
        return self

    def answer(self):
        """Reads one answer to its end."""
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.receive()
        head, _, body = got.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        left = int(found[1]) - len(body) if found and self.method != "HEAD" else 0
        while left > 0:
            left -= len(self.receive())

    def receive(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("closed")
        return piece


def flood(port, requests, every=0.0, whole=False):
    """One after the other on one connection, as many as there are, or until it is told to leave. `whole`: it is in place after the last."""
    connection, began, said = None, time.monotonic(), False
    for path, more in requests:
        if not said and not whole and time.monotonic() - began > 0.2:
            said = True
            in_place()
        if told_to_leave():
            return
        try:
            connection = connection or Connection(port)
            connection.say(path, **more).answer()
        except OSError:
            connection = None
        time.sleep(every)
    if said:
        sys.stdin.read()
    else:
        stay()


def ask(port, paths, leave=False, settle=0.0):
    """Each on a connection of its own, none waited for."""
    held = []
    for path in paths:
        try:
            held.append(Connection(port).say(path))
        except OSError:
            pass
    if leave:
        time.sleep(0.3)
        held.clear()
    time.sleep(settle)
    stay()


def slow_readers(port, paths):
    """They ask, and read nothing."""
    held = [Connection(port, buffer=2048).say(path) for path in paths]
    stay()
    held.clear()


def of(kind, count, digest=None):
    return [f"/v2/evil/{kind}/x{i}/blobs/{digest or digest_of(b'%s %d' % (kind.encode(), i))}" for i in range(count)]


# --- memory ---

def memos(port):
    def requests():
        for i in range(5000):
            yield HOT, {"host": f"{i:05d}" + "h" * 31_000}
            yield f"{HOT}?q={i:05d}" + "q" * 8000, {}
    flood(port, requests())


def media_type(port):
    flood(port, ((f"/v2/evil/type/x/manifests/v1?q={i}", {"method": "HEAD"}) for i in range(300)), 0.005)


def heavy_manifests(port):
    flood(port, ((f"/v2/evil/weight/{i}/manifests/v1", {}) for i in range(60)), whole=True)


def manifest_readers(port):
    Connection(port).say("/v2/evil/weight/1/manifests/v1").answer()
    slow_readers(port, [f"/v2/evil/weight/1/manifests/{digest_of(heavy(1))}"] * 150)


def endless_answers(port):
    """Trailers, a head and a list without end."""
    ask(port, [f"/v2/evil/{what}/x{i}/manifests/v1" for i in range(2) for what in ("trailers", "fields")] +
        of("trailers", 2) + of("fields", 2) + [f"/v2/evil/endless/x{i}/tags/list" for i in range(2)])


# --- lists ---

def list_flood(port):
    flood(port, (("/v2/evil/list/x/tags/list", {}) for _ in range(10_000)), 0.05)


def list_readers(port):
    Connection(port).say("/v2/evil/list/x/tags/list").answer()
    slow_readers(port, ["/v2/evil/list/x/tags/list"] * 40)


def rows(port):
    """Rows of the database: queries on one long list, and referrers of what nobody has."""
    def requests():
        for i in range(40):
            yield f"/v2/evil/short/x/tags/list?n={50_000 + i}", {}
        for i in range(3000):
            yield f"/v2/evil/none/r{i}/referrers/{digest_of(b'%d' % i)}", {}
    flood(port, requests(), whole=True)


# --- upstreams that do not answer, or by drops ---

def left_behind(port):
    ask(port, of("silent", 2000), leave=True)


def silence(port):
    """Of manifests, tags and blobs, for clients that wait."""
    ask(port, of("silent", 200) + [f"/v2/evil/silent/x{i}/{what}" for i in range(200) for what in ("manifests/v1", "tags/list")])


def drips(port):
    ask(port, of("drip", 80), leave=True)


def poisoned_joins(port):
    """Every image that the victim is going to pull from the good upstream is asked of the evil one first."""
    ask(port, [f"/v2/evil/claim/{n}/blobs/{image(n).layer_digest}" for n in CLAIMED])


def silent_names(port):
    """Asked for long enough that connections to them are given up."""
    ask(port, [f"/v2/{way}/manifests/v{i}" for i in range(8) for way in ("gone/lab/x", "evil/away/x", "evil/realm/x")] +
        [f"/v2/gone/lab/x/blobs/{digest_of(b'%d' % i)}" for i in range(8)],
        settle=1.1)


# --- answers ---

def challenges(port):
    flood(port, ((f"/v2/docker.io/private/{how}{i}/manifests/v1", {}) for i in range(1000) for how in ("basic", "bearer")), 0.02)


def refusals(port):
    """Of the victim's own upstream: requests that it refuses, each for a reason that is in the request."""
    def requests():
        for i in range(1000):
            for how in ("400", "405", "406", "409", "410", "412", "414", "416", "451", "page", "away"):
                yield f"/v2/docker.io/odd/{how}-{i}/manifests/v1", {}
                yield f"/v2/docker.io/odd/{how}-{i}/blobs/{digest_of(b'%d' % i)}", {}
                yield f"/v2/docker.io/odd/{how}-{i}/tags/list?n=x", {}
    flood(port, requests(), 0.005)


def storm(port):
    flood(port, ((f"/v2/evil/storm/{how}-{i}/manifests/v1", {}) for i in range(1000)
                 for how in (429, 500, 502, 503, 401, 403, 404, 418)), 0.005)


# --- space ---

def promises(port):
    ask(port, of("promise", 3))


def relays(port):
    """Readers who sleep, of blobs that find no room on the disk: of the evil upstream and of the victim's own, some of them of one blob."""
    large = [f"/v2/evil/large/{i}/blobs/{digest_of(noise(f'large{i}', 8_000_000))}" for i in range(12)]
    big = f"/v2/docker.io/big/1/blobs/{image(1, BIG).layer_digest}"
    slow_readers(port, large * 2 + [big] * 24)


# --- ranges ---

def many_ranges(port):
    parts = ",".join(f"{i * 200}-{i * 200 + 90}" for i in range(1000))
    few = ",".join(f"{i * 20}-{i * 20 + 9}" for i in range(3000))
    flood(port, ((HOT_BLOB, {"Range": "bytes=" + (parts if i % 2 else few)}) for i in range(3000)), 0.01)


ATTACKERS = {attack.__name__: attack for attack in (
    memos, media_type, heavy_manifests, manifest_readers, endless_answers, list_flood, list_readers, rows, left_behind, silence,
    drips, poisoned_joins, silent_names, challenges, refusals, storm, promises, relays, many_ranges)}

if __name__ == "__main__":
    os.nice(5)
    ATTACKERS[sys.argv[1]](int(sys.argv[2]))
