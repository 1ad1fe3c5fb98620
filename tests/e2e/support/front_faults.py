"""What a front does to an answer: rules, byte ranges, and bodies that are slow, cut, stalled or damaged."""

import base64
import os
import re
import select
import socket
import time

SLICE = 256 * 1024


class Gone(Exception):
    """The connection is to be closed, for whatever reason."""


class Plan:
    """All rules that match a request, laid over each other; the later rule wins."""

    def __init__(self, merged, rules):
        self._rules = rules
        self.names = [rule.get("label", "") for rule in rules]
        self.drop = merged.get("drop", False)
        self.hang = merged.get("hang", False)
        self.delay = merged.get("delay", 0)
        self.status = merged.get("status", 0)
        self.headers = merged.get("headers", {})
        self.body = merged.get("body", '{"errors":[{"code":"UNKNOWN","message":"as the test wished"}]}').encode()
        self.redirect = merged.get("redirect")
        self.strip = {name.lower() for name in merged.get("strip", ())}
        self.no_range = merged.get("no_range", False)
        self.length_delta = merged.get("length_delta", 0)
        self.rate = merged.get("rate", 0)
        self.cut_after = merged.get("cut_after")
        self.cut_at = merged.get("cut_at", ())
        self.stall_after = merged.get("stall_after")
        self.flip_at = merged.get("flip_at")
        self.reset = merged.get("reset", False)

    def take_back(self, lock):
        """The request came without credentials: what a rule does so many times, it does to answers."""
        with lock:
            for rule in self._rules:
                rule["uses"] -= 1


def matches(match, listener, request):
    wanted = {"listener": listener, "kind": request.kind, "method": request.method, "name": request.name,
              "reference": request.reference}
    for key, value in match.items():
        if key in ("path", "target"):
            if not re.search(value, getattr(request, key)):
                return False
        elif key == "range":
            if not re.search(value, request.headers.get("range", "")):
                return False
        elif value != wanted[key]:
            return False
    return True


def plan(server, listener, request):
    merged, rules = {}, []
    with server.lock:
        settings = server.settings
        if settings.get("rate"):
            merged["rate"] = settings["rate"]
        if settings.get("delay"):
            merged["delay"] = settings["delay"]
        if settings.get("headers"):
            merged["headers"] = dict(settings["headers"])
        for rule in server.rules:
            if rule.get("times") is not None and rule["uses"] >= rule["times"]:
                continue
            if matches(rule.get("match", {}), listener, request):
                rule["uses"] += 1
                merged.update(rule["do"])
                rules.append(rule)
    return Plan(merged, rules)


def basic_user(given, users):
    if not given.startswith("Basic "):
        return None
    try:
        user, _, word = base64.b64decode(given[6:]).decode().partition(":")
    except ValueError:
        return None
    return user if users.get(user) == word and word else None


def blob_path(root, digest):
    match = re.fullmatch(r"(sha256|sha512):([0-9a-f]{64,128})", digest or "")
    return match and os.path.join(root, "docker/registry/v2/blobs", match[1], match[2][:2], match[2], "data")


def byte_range(header, total):
    """(start, end) of a single range, None for the whole, "unsatisfiable" where it lies outside."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, end = max(0, total - int(match[2])), total
    else:
        start, end = int(match[1]), min(total, int(match[2]) + 1 if match[2] else total)
    return (start, end) if start < end else "unsatisfiable"


class Reader:
    """The body of an http.client answer."""

    def __init__(self, answer):
        self.answer = answer

    def read(self, size):
        return self.answer.read(size)


class FileReader:
    """A file; plain sockets get it by sendfile."""

    def __init__(self, file, offset):
        self.file, self.offset = file, offset

    def read(self, size):
        data = os.pread(self.file.fileno(), size, self.offset)
        self.offset += len(data)
        return data

    def send(self, connection, size):
        sent = os.sendfile(connection.fileno(), self.file.fileno(), self.offset, size)
        self.offset += sent
        return sent


class Body:
    def __init__(self, server, plan, request, entry, source, start, length, total):
        self.server, self.plan, self.request, self.entry, self.source = server, plan, request, entry, source
        self.start, self.length, self.total = start, length, total
        self.end, self.ending = length, None
        self._limits()

    def _limits(self):
        """How many bytes of this body go out, and what happens then."""
        plan = self.plan
        if plan.cut_after is not None and plan.cut_after < self.end:
            self.end, self.ending = plan.cut_after, "cut"
        if plan.stall_after is not None and plan.stall_after < self.end:
            self.end, self.ending = plan.stall_after, "stall"
        for fraction in plan.cut_at:
            # Each place of each blob is cut once: the resumed read gets past it.
            place = int(self.total * fraction) - self.start
            key = (self.request.reference, fraction)
            with self.server.lock:
                fresh = 0 < place < self.end and key not in self.server.fired
                if fresh:
                    self.server.fired.add(key)
            if fresh:
                self.end, self.ending = place, "cut"
                break

    def send(self, connection):
        rate, began, sent = self.plan.rate, time.monotonic(), 0
        piece = min(SLICE, max(4096, int(rate / 200))) if rate else SLICE
        if rate:
            # What may hide in the socket's buffer would blur both the rate and the place of a cut.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(65536, 2 * piece))
        by_sendfile = hasattr(self.source, "send") and not hasattr(connection, "cipher") and self.plan.flip_at is None
        while sent < self.end:
            if rate:
                ahead = sent / rate - (time.monotonic() - began)
                if ahead > 0:
                    time.sleep(ahead)
            size = min(piece, self.end - sent)
            try:
                # Told before they go: who has the last byte may ask at once.
                if by_sendfile:
                    self.entry["sent"] = sent + size
                    done = self._sendfile(connection, size)
                else:
                    data = self.source.read(size)
                    if not data:
                        raise Gone
                    self.entry["sent"] = sent + len(data)
                    connection.sendall(self._damaged(data, sent))
                    done = len(data)
            except BaseException:
                self.entry["sent"] = sent
                raise
            sent += done
            self.entry["sent"] = sent
        if self.ending == "stall":
            self.server.wait_for_close(connection)
        if self.ending == "cut":
            if self.plan.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise Gone

    def _sendfile(self, connection, size):
        while True:
            try:
                return self.source.send(connection, size)
            except BlockingIOError:
                # A socket with a time-out is non-blocking underneath.
                if not select.select([], [connection], [], 600)[1]:
                    raise OSError("the client does not read") from None

    def _damaged(self, data, sent):
        place = self.plan.flip_at
        if place is None or not self.start + sent <= place < self.start + sent + len(data):
            return data
        damaged = bytearray(data)
        damaged[place - self.start - sent] ^= 0x01
        return bytes(damaged)
