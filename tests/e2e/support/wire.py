"""A client that looks at every byte: plain HTTP/1.1 over a socket, no help and no guessing."""

import dataclasses
import hashlib
import http.client
import json
import socket
import ssl
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

ACCEPT = ", ".join(f"application/vnd.{kind}+json" for kind in (
    "oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2",
    "docker.distribution.manifest.v2"))


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict          # lower-case names
    body: bytes
    first_byte: float      # seconds from the request to the first byte of the body
    seconds: float

    def json(self):
        return json.loads(self.body)

    @property
    def digest(self):
        return "sha256:" + hashlib.sha256(self.body).hexdigest()

    def error_codes(self):
        return [error["code"] for error in self.json()["errors"]]


def connect(url, context=None, timeout=60, server_name=None):
    parts = urllib.parse.urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "https":
        context = context or ssl._create_unverified_context()
        sock = context.wrap_socket(sock, server_hostname=server_name or parts.hostname)
    return sock


def connection(url, context=None, timeout=60):
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout,
                                           context=context or ssl._create_unverified_context())
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def ask(server, path, method="GET", headers=None, body=None, context=None, timeout=60):
    """One request on its own connection. `server` has a .url, or is one."""
    conn = connection(getattr(server, "url", server), context, timeout)
    try:
        return ask_on(conn, path, method, headers, body)
    finally:
        conn.close()


def ask_on(conn, path, method="GET", headers=None, body=None):
    began = time.monotonic()
    conn.request(method, path, body=body, headers=headers or {})
    answer = conn.getresponse()
    first = answer.read(1)
    first_byte = time.monotonic() - began
    data = first + answer.read()
    told = {}
    for name, value in answer.getheaders():
        key = name.lower()
        told[key] = f"{told[key]}, {value}" if key in told else value
    return Answer(answer.status, told, data, first_byte, time.monotonic() - began)


def say(server, data, timeout=30, context=None):
    """Sends bytes as they are and returns all that comes until the server closes or the time is over."""
    with connect(getattr(server, "url", server), context, timeout) as sock:
        if data:
            sock.sendall(data)
        return read_all(sock)


def read_all(sock):
    got = bytearray()
    try:
        while piece := sock.recv(65536):
            got += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return bytes(got)


class Reading:
    """A download that the test advances as it likes."""

    def __init__(self, server, path, headers=None, context=None, timeout=60, receive_buffer=None):
        parts = urllib.parse.urlsplit(getattr(server, "url", server))
        self.conn = connection(getattr(server, "url", server), context, timeout)
        if receive_buffer:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(timeout)
            sock.connect((parts.hostname, parts.port))
            self.conn.sock = sock
        self.began = time.monotonic()
        self.conn.request("GET", path, headers=headers or {})
        self.answer = self.conn.getresponse()
        self.status = self.answer.status
        self.hash, self.count = hashlib.sha256(), 0
        self.first_byte = None

    def read(self, size):
        """Up to `size` bytes; fewer only at the end."""
        data = self.answer.read(size)
        if data and self.first_byte is None:
            self.first_byte = time.monotonic() - self.began
        self.hash.update(data)
        self.count += len(data)
        return data

    def rest(self):
        while self.read(256 * 1024):
            pass
        return self

    @property
    def digest(self):
        return "sha256:" + self.hash.hexdigest()

    def close(self):
        self.answer.close()
        self.conn.close()


@dataclasses.dataclass
class Fetched:
    status: int
    digest: str
    count: int
    first_byte: float
    seconds: float


LOW_WATER = 128 * 1024


def fetch(server, path, headers=None, context=None, timeout=120):
    """A download that costs the client as little as it can, for tests and measurements with many clients at once.

    The socket wakes the thread only when much has come (SO_RCVLOWAT), so 32 of these run beside a server on two cores.
    """
    url = getattr(server, "url", server)
    began = time.monotonic()
    with connect(url, context, timeout) as sock:
        headers = {"Host": urllib.parse.urlsplit(url).netloc, "Connection": "close", **(headers or {})}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = bytearray()
        while b"\r\n\r\n" not in head:
            piece = sock.recv(65536)
            if not piece:
                raise ConnectionError(f"no answer to {path}")
            head += piece
        head, _, body = bytes(head).partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                       if line.lower().startswith(b"content-length:")), 0)
        digest, count = hashlib.sha256(body), len(body)
        first_byte = time.monotonic() - began if body else None
        buffer = bytearray(1 << 20)
        view = memoryview(buffer)
        plain = not isinstance(sock, ssl.SSLSocket)
        while count < length:
            if plain and first_byte is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(LOW_WATER, length - count))
            got = sock.recv_into(view)
            if not got:
                break
            if first_byte is None:
                first_byte = time.monotonic() - began
            digest.update(view[:got])
            count += got
    return Fetched(status, "sha256:" + digest.hexdigest(), count, first_byte or 0.0, time.monotonic() - began)


def pull(server, repository, reference, platform="linux/amd64", context=None, parallel=3, headers=None):
    """What a client does for one image: tag, platform's manifest, config and layers. Checks every digest.

    Returns (seconds, seconds from the start to the first byte of the largest layer).
    """
    began = time.monotonic()
    headers = {"Accept": ACCEPT, **(headers or {})}
    top = ask(server, f"/v2/{repository}/manifests/{reference}", headers=headers, context=context)
    assert top.status == 200, (top.status, top.body[:300])
    document = top.json()
    if "manifests" in document:
        os_name, arch = platform.split("/")
        child = next(m for m in document["manifests"]
                     if (m["platform"]["os"], m["platform"]["architecture"]) == (os_name, arch))
        answer = ask(server, f"/v2/{repository}/manifests/{child['digest']}", headers=headers, context=context)
        assert answer.status == 200 and answer.digest == child["digest"], answer.status
        document = answer.json()
    largest = max(document["layers"], key=lambda layer: layer["size"])["digest"]
    first = {}

    def blob(descriptor):
        started = time.monotonic() - began
        got = fetch(server, f"/v2/{repository}/blobs/{descriptor['digest']}", headers, context)
        first[descriptor["digest"]] = started + got.first_byte
        assert got.status == 200, got.status
        assert got.digest == descriptor["digest"], f"{descriptor['digest']} came as {got.digest}"

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(blob, [document["config"], *document["layers"]]))
    return time.monotonic() - began, first[largest]


def drain(server, path, timeout=120):
    """Like fetch(), for measurements of the server alone: the body is thrown away in the kernel. Returns its length."""
    url = getattr(server, "url", server)
    with connect(url, None, timeout) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {urllib.parse.urlsplit(url).netloc}\r\n\r\n".encode())
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            if not piece:
                raise ConnectionError(f"no answer to {path}")
            head += piece
        assert head.split(b" ", 2)[1] == b"200", bytes(head)
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        count, nowhere = 0, bytearray(4 << 20)
        while count < length:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, min(LOW_WATER, length - count))
            got = sock.recv_into(nowhere, 0, socket.MSG_TRUNC)      # counted, not copied
            if not got:
                break
            count += got
    return count
