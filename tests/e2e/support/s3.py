"""A real S3 server (versitygw over a folder), and a proxy before it that has faults and keeps what it was asked."""

import contextlib
import dataclasses
import hashlib
import hmac
import os
import pathlib
import re
import select
import shutil
import socket
import struct
import threading
import time
import urllib.parse

from . import wire
from .proc import PATIENCE, POLL, ROOT, Process, files_below, free_port, listening

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "weir-test-access", "weir-test-secret", "eu-x", "images"
SLICE = 256 * 1024
PORT_TRIES = 5


def program(name="versitygw"):
    """$WEIR_VERSITYGW, what ./dev installs, or PATH's."""
    beside = ROOT / "build/tools" / name
    found = os.environ.get(f"WEIR_{name.upper()}") or (str(beside) if beside.exists() else shutil.which(name))
    assert found, f"no {name}: ./dev test installs it into build/tools"
    return found


class S3:
    """Objects are plain files: what is in the bucket is looked up without asking the server."""

    def __init__(self, folder, bucket=BUCKET):
        self.folder = pathlib.Path(folder)
        self.bucket_path = self.folder / "data" / bucket
        self.bucket_path.mkdir(parents=True)
        (self.folder / "sidecar").mkdir()
        self.process, self.port = None, 0
        for attempt in range(PORT_TRIES):
            self.port = free_port()
            try:
                return self.start()
            except AssertionError:
                # Somebody else took the port between the look and the bind.
                if attempt == PORT_TRIES - 1:
                    raise

    def start(self):
        """Also after stop(), at the same port and with all it had."""
        env = {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": SECRET_KEY, "HOME": self.folder}
        argv = [program(), "--quiet", "--keep-alive", "--region", REGION, "--port", f"127.0.0.1:{self.port}",
                "posix", "--sidecar", self.folder / "sidecar", self.folder / "data"]
        self.process = Process(argv, self.folder / "log", env=env)
        self.process.wait_until(lambda: listening(self.port), 30, "versitygw")

    def stop(self):
        self.process.kill()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def path(self, blob, root="weir"):
        """Where the object of a blob (or digest) lies."""
        algorithm, value = getattr(blob, "digest", blob).split(":")
        return self.bucket_path / root / "blobs" / algorithm / value[:2] / value

    def holds(self, blob):
        return self.path(blob).is_file()

    def blobs(self):
        """Digest and size of each blob's object; what is being uploaded is not among them."""
        found = {}
        for path in files_below(self.bucket_path / "weir/blobs"):
            with contextlib.suppress(FileNotFoundError):
                found[f"{path.parent.parent.name}:{path.name}"] = path.stat().st_size
        return found

    def objects(self, room):
        """The keys below blobs/, manifests/ or tags/, without the room's name."""
        folder = self.bucket_path / "weir" / room
        return {str(path.relative_to(folder)) for path in files_below(folder)}

    def left_uploads(self):
        """Multipart uploads that were begun and neither ended nor aborted."""
        parts = self.bucket_path / ".sgwtmp/multipart"
        return [pathlib.Path(key, name) for key, names, _ in os.walk(parts) for name in names
                if pathlib.Path(key).parent == parts]


class MinIO(S3):
    """Another one, which keeps its objects in a form of its own: what it has is known by asking (stored_digest)."""

    def start(self):
        env = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_REGION": REGION,
               "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": self.folder}
        argv = [program("minio"), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.folder / "data"]
        self.process = Process(argv, self.folder / "log", env=env)
        ready = lambda: listening(self.port) and wire.ask(self, "/minio/health/ready").status == 200
        self.process.wait_until(ready, 30, "minio")


def stored_digest(server, blob):
    """Of the blob's object, as any client gets it; None: there is no such object."""
    answer = wire.ask(server, presigned(server, blob))
    assert answer.status in (200, 404), (answer.status, answer.body[:300])
    return answer.digest if answer.status == 200 else None


def driver(server, **more):
    """The storage section of a weir whose durable tier is this server (S3 or Faults)."""
    return {"storageDriver": {"name": "s3", "region": REGION, "bucket": BUCKET, "rootdirectory": "/weir",
                              "regionendpoint": server.url, "accesskey": ACCESS_KEY, "secretkey": SECRET_KEY,
                              "forcepathstyle": True, "secure": False, **more}}


def presigned(server, blob, seconds=600):
    """A target that gives the blob's object to a client that knows nothing of S3."""
    value = blob.digest.split(":")[1]
    path = f"/{BUCKET}/weir/blobs/sha256/{value[:2]}/{value}"
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    query = urllib.parse.urlencode({
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{ACCESS_KEY}/{scope}", "X-Amz-Date": now,
        "X-Amz-Expires": seconds, "X-Amz-SignedHeaders": "host"})
    request = f"GET\n{path}\n{query}\nhost:{server.url.split('//')[1]}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET_KEY}".encode()
    for word in (*scope.split("/"), text):
        key = hmac.digest(key, word.encode(), "sha256")
    return f"{path}?{query}&X-Amz-Signature={key.hex()}"


@dataclasses.dataclass
class S3Request:
    """One request that came to the proxy."""
    at: float
    method: str
    target: str
    range: str = ""
    status: int = 0
    received: int = 0      # body bytes that came from weir
    sent: int = 0          # body bytes that went to it
    done: bool = False
    number: int = 0

    @property
    def path(self):
        return self.target.split("?")[0]

    @property
    def room(self):
        """blobs, manifests, tags, or "" of a request about the bucket."""
        parts = self.path.split("/")
        return parts[3] if len(parts) > 3 else ""


class Gone(Exception):
    """The connection is to be closed."""


class Head:
    """Start line and fields of one message, and what was read beyond them."""

    def __init__(self, sock, rest=b""):
        data = bytearray(rest)
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                raise Gone
            data += piece
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        self.raw, self.rest = head + b"\r\n\r\n", body
        lines = head.decode("latin-1").split("\r\n")
        self.start = lines[0].split(" ", 2)
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    @property
    def length(self):
        return int(self.fields.get("content-length", 0))

    @property
    def chunked(self):
        return "chunked" in self.fields.get("transfer-encoding", "").lower()


def flipped(piece, byte, start):
    """The piece, which begins at byte `start`, with a bit of that byte changed if it is in it."""
    place = -1 if byte is None else byte - start
    if not 0 <= place < len(piece):
        return piece
    return piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1:]


class Faults:
    """The proxy. Requests and answers pass as they are, so signatures stay right; rules change what becomes of them.

    rule(match, **do): match has method, room or target (a regular expression); do has
      delay=seconds, status=500, hang=True, cut_after or stall_after=bytes of the answer, cut_upload or
      stall_upload=bytes of the request's body that go on, flip_at=byte of the answer, flip_upload=byte of the request's
      body, rate=bytes a second (each way and connection);
    `times` bounds how often.
    """

    def __init__(self, server):
        self.server = server
        self._rules, self._log, self._open = [], [], set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._mode, self._listener = "accept", None
        self.port = 0
        self._listen()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # --- steering ---

    def rule(self, match=None, times=None, **do):
        with self._lock:
            self._rules.append({"match": match or {}, "times": times, "do": do, "uses": 0})

    def mode(self, mode):
        """accept, refuse (nobody listens, open connections are gone) or silent (accepts and never answers)."""
        with self._lock:
            before, self._mode = self._mode, mode
        if mode == "refuse":
            self._close_listener()
        elif before == "refuse":
            self._listen()
        if mode != "accept":
            self.hang_up()

    def heal(self):
        with self._lock:
            self._rules = []
        if self._mode != "accept":
            self.mode("accept")
            self.hang_up()      # those that were left without an answer

    def hang_up(self):
        with self._lock:
            sockets = list(self._open)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self):
        with self._lock:
            self._log = []

    def requests(self, **wanted):
        with self._lock:
            return [r for r in self._log if all(getattr(r, key) == value for key, value in wanted.items())]

    def blob_gets(self, blob=None):
        return [r for r in self.requests(method="GET", room="blobs") if blob is None or blob.digest[7:] in r.path]

    def wait_for(self, what, seconds=PATIENCE, say="requests to S3"):
        """Waits until what(list of requests) is true; wakes at each request and answer, and looks at what moves."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not what(list(self._log)):
                left = deadline - time.monotonic()
                assert left > 0, f"{say} did not come within {seconds} s"
                self._changed.wait(min(left, POLL))

    def stop(self):
        self._close_listener()
        self.hang_up()

    # --- connections ---

    def _listen(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close_listener(self):
        if self._listener:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)     # wakes accept()
            self._listener.close()
            self._listener = None

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            # Here, or hang_up() could miss it.
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = None
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._mode == "silent":
                self._wait_for_close(client)
            rest = b""
            while True:
                head = Head(client, rest)
                rest = b""
                entry, do = self._note(head)
                if self._mode == "silent" or do.get("hang"):
                    self._wait_for_close(client)
                if do.get("delay"):
                    time.sleep(do["delay"])       # the fault itself
                if do.get("status"):
                    self._refuse(client, head, entry, do["status"])
                    continue
                if server is None:
                    server = socket.create_connection(("127.0.0.1", self.server.port))
                    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with self._lock:
                        self._open.add(server)
                self._pass(client, server, head, entry, do)
        except (Gone, OSError, ValueError, struct.error):
            pass
        finally:
            with self._changed:
                self._open -= {client, server}
                self._changed.notify_all()
            client.close()
            if server:
                server.close()

    def _note(self, head):
        entry = S3Request(time.monotonic(), head.start[0], head.start[1], head.fields.get("range", ""))
        with self._changed:
            entry.number = len(self._log)
            self._log.append(entry)
            do = {}
            for rule in self._rules:
                if rule["times"] is not None and rule["uses"] >= rule["times"]:
                    continue
                match = rule["match"]
                if all(re.search(value, entry.target) if key == "target" else getattr(entry, key) == value
                       for key, value in match.items()):
                    rule["uses"] += 1
                    do.update(rule["do"])
            self._changed.notify_all()
        return entry, do

    def _done(self, entry):
        with self._changed:
            entry.done = True
            self._changed.notify_all()

    @staticmethod
    def _wait_for_close(sock):
        while sock.recv(65536):
            pass
        raise Gone

    def _refuse(self, client, head, entry, status):
        left = head.length - len(head.rest)
        while left > 0 and head.fields.get("expect", "").lower() != "100-continue":
            piece = client.recv(min(SLICE, left))
            if not piece:
                raise Gone
            left -= len(piece)
        entry.status = status
        code = {503: "SlowDown", 403: "AccessDenied"}.get(status, "InternalError")
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as the test wished</Message></Error>'.encode()
        body = b"" if head.start[0] == "HEAD" else body
        client.sendall(f"HTTP/1.1 {status} No\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
                       .encode() + body)
        self._done(entry)

    def _pass(self, client, server, head, entry, do):
        server.sendall(head.raw)
        pace = Pace(do.get("rate", 0))
        up = threading.Thread(target=self._send_body, args=(client, server, head, entry, do, pace), daemon=True)
        if head.length:
            up.start()
        answer = Head(server)
        while answer.start[1] == "100":
            client.sendall(answer.raw)
            answer = Head(server, answer.rest)
        if head.length:
            up.join()
        entry.status = int(answer.start[1])
        client.sendall(answer.raw)
        bodiless = head.start[0] == "HEAD" or entry.status in (204, 304)
        if answer.chunked:
            self._copy_chunks(server, client, answer.rest, entry)
        elif not bodiless:
            self._copy_answer(server, client, answer, entry, do, pace)
        self._done(entry)

    @staticmethod
    def _send_body(client, server, head, entry, do, pace):
        left, cut, stall = head.length, do.get("cut_upload"), do.get("stall_upload")
        piece = head.rest[:left]
        try:
            while True:
                if cut is not None and entry.received + len(piece) >= cut:
                    raise Gone
                if stall is not None and entry.received + len(piece) >= stall:
                    server.sendall(piece[:stall - entry.received])
                    entry.received = stall
                    Faults._wait_for_close(client)
                server.sendall(flipped(piece, do.get("flip_upload"), entry.received))
                entry.received += len(piece)
                left -= len(piece)
                pace.wait(entry.received)
                if not left:
                    return
                piece = client.recv(min(pace.piece, left))
                if not piece:
                    raise Gone
        except (Gone, OSError):
            for sock in (client, server):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _copy_answer(server, client, answer, entry, do, pace):
        left, flip = answer.length, do.get("flip_at")
        cut = do.get("cut_after", do.get("stall_after"))
        piece = answer.rest
        start = int(re.match(r"bytes (\d+)-", answer.fields.get("content-range", "bytes 0-"))[1])
        while left:
            if not piece:
                piece = server.recv(min(pace.piece, left))
                if not piece:
                    raise Gone
            if cut is not None and entry.sent + len(piece) >= cut:
                piece = piece[:cut - entry.sent]
                entry.sent = cut
                client.sendall(piece)
                if "stall_after" in do:
                    Faults._wait_for_close(client)
                raise Gone
            piece = flipped(piece, flip, start + entry.sent)
            entry.sent += len(piece)      # first: who has the last byte may ask at once
            client.sendall(piece)
            left -= len(piece)
            pace.wait(entry.sent)
            piece = b""

    @staticmethod
    def _copy_chunks(server, client, rest, entry):
        """Until the last chunk; answers of this kind are short."""
        data = rest
        tail = b""
        while True:
            entry.sent += len(data)
            client.sendall(data)
            tail = (tail + data)[-5:]
            if tail == b"0\r\n\r\n":
                return
            data = server.recv(65536)
            if not data:
                raise Gone


class Pace:
    """Holds a stream to a rate; 0: as fast as it goes."""

    def __init__(self, rate):
        self.rate, self.began = rate, time.monotonic()
        self.piece = min(SLICE, max(4096, int(rate / 200))) if rate else SLICE

    def wait(self, moved):
        if self.rate:
            ahead = moved / self.rate - (time.monotonic() - self.began)
            if ahead > 0:
                select.select([], [], [], ahead)
