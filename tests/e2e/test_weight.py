"""What clients and upstreams say has a weight: no request, header, manifest or list takes the memory or the database."""

import collections
import contextlib
import hashlib
import http.server
import json
import os
import re
import socket
import sqlite3
import threading

import pytest
from support import wire
from support.disk import SmallDisk
from support.proc import eventually, run

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
MIB = 1 << 20
BOUND = 256 * MIB


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Upstream:
    """A registry of one function: answer(method, path, query) -> (status, content type, body[, fields]); None: 404."""
    authority = None

    def __init__(self, answer):
        self.asked = collections.Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path, _, query = self.path.partition("?")
                outer.asked[self.path] += 1
                status, kind, body, *more = (path == "/v2/" and (200, "application/json", b"{}")
                                             or answer(path, query) or (404, "application/json", b"{}"))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream_of():
    made = []

    def make(answer):
        made.append(Upstream(answer))
        return made[-1]
    yield make
    for upstream in made:
        upstream.stop()


@contextlib.contextmanager
def slow_readers(weir, paths):
    """Each asks, takes the head, and then nothing; gives their statuses."""
    sockets, statuses = [], collections.Counter()
    try:
        for path in paths:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(60)
            sock.connect(("127.0.0.1", weir.port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sockets.append(sock)
        for sock in sockets:
            statuses[int(sock.recv(64).split()[1])] += 1
        yield statuses
    finally:
        for sock in sockets:
            sock.close()


def peak(weir):
    return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{weir.process.pid}/status").read())[1]) * 1024


def document(number, padding):
    return (f'{{"schemaVersion":2,"mediaType":"{MANIFEST}","annotations":{{"n":"{number}","p":"{"p" * padding}"}},'
            f'"config":{{"mediaType":"a/b","digest":"{sha(b"{}")}","size":2}},"layers":[]}}').encode()


@pytest.fixture
def heavy(upstream_of):
    """Tags 0, 1, 2, ... of any repository are manifests of nearly 4 MB; small is one of a few bytes."""
    digests, by_digest, lock = {}, {}, threading.Lock()

    def answer(path, _query):
        reference = path.rpartition("/")[2]
        if "/manifests/" not in path:
            return None
        with lock:
            number = by_digest.get(reference, reference)
        if not number.isdigit() and number != "small":
            return None
        body = document(number, 0 if number == "small" else 3_900_000)
        with lock:
            if number not in digests:
                digests[number] = sha(body)
                by_digest[digests[number]] = number
        return 200, MANIFEST, body, {"Docker-Content-Digest": digests[number]}
    return upstream_of(answer)


def test_tags_of_large_manifests_take_no_more_than_the_budget(new_weir, heavy):
    weir = new_weir(heavy)
    for number in range(60):
        assert wire.ask(weir, f"/v2/up/heavy/manifests/{number}").status == 200
    assert peak(weir) <= BOUND, peak(weir)
    assert wire.ask(weir, "/v2/up/heavy/manifests/small").status == 200


def test_slow_readers_of_large_manifests_are_told_to_come_later(new_weir, heavy):
    weir = new_weir(heavy)
    for number in range(40):
        wire.ask(weir, f"/v2/up/heavy/manifests/{number}")
    with slow_readers(weir, [f"/v2/up/heavy/manifests/{number}" for number in range(40)]) as statuses:
        assert set(statuses) <= {200, 503} and statuses[200] >= 10, statuses
        assert wire.ask(weir, "/v2/up/heavy/manifests/small").status == 200
        refused = wire.ask(weir, "/v2/up/heavy/manifests/39")
        assert refused.status == 200 or refused.headers["retry-after"]
        assert peak(weir) <= BOUND, peak(weir)
    eventually(lambda: wire.ask(weir, "/v2/up/heavy/manifests/39").status == 200, say="room again")


def test_slow_readers_of_one_manifest_share_its_bytes(new_weir, heavy):
    weir = new_weir(heavy)
    digest = wire.ask(weir, "/v2/up/heavy/manifests/7").digest
    before = weir.rss()
    with slow_readers(weir, [f"/v2/up/heavy/manifests/{digest}"] * 150) as statuses:
        assert statuses == {200: 150}
        assert weir.rss() - before < 40 * MIB, weir.rss() - before


def test_slow_readers_of_one_list_share_its_bytes(new_weir, upstream_of):
    tags = json.dumps({"name": "x", "tags": [f"{n:010}" for n in range(500_000)]}).encode()
    upstream = upstream_of(lambda path, query: "/tags/list" in path and (200, "application/json", tags))
    weir = new_weir(upstream)
    assert len(wire.ask(weir, "/v2/up/long/tags/list").json()["tags"]) == 500_000
    before = weir.rss()
    with slow_readers(weir, [f"/v2/up/long/tags/list?n={400_000 + n}" for n in range(100)]) as statuses:
        assert statuses == {200: 100}
        assert weir.rss() - before < 40 * MIB, weir.rss() - before
        assert wire.ask(weir, "/livez").status == 200
    assert upstream.asked.total() == 1


def test_long_hosts_queries_and_types_are_not_remembered(new_weir, upstream_of):
    odd = document("odd", 10).replace(MANIFEST.encode(), b"application/" + b"m" * 1_000_000)
    manifests = {"v1": document("v1", 0), "odd": odd}

    def answer(path, _query):
        body = manifests.get(path.rpartition("/")[2])
        return body and (200, MANIFEST if body != odd else "application/json", body)
    weir = new_weir(upstream_of(answer), weir={"log": {"access": False}})
    path = "/v2/up/any/manifests/v1"
    assert wire.ask(weir, path).status == 200
    before = weir.rss()
    with contextlib.closing(wire.connection(weir.url)) as conn:
        for number in range(3000):
            assert wire.ask_on(conn, path, headers={"Host": "h" * 30_000 + str(number)}).status in (200, 404)
        for number in range(3000):
            assert wire.ask_on(conn, f"{path}?q={'q' * 7000}{number}").status == 200
        for number in range(300):
            answer = wire.ask_on(conn, f"/v2/up/any/manifests/odd?q={number}")
            assert answer.status == 502 and len(str(answer.headers)) < 2000
    assert weir.rss() - before < 50 * MIB, weir.rss() - before


def test_nothing_that_an_image_says_is_a_page_of_weirs(new_weir, upstream_of):
    page = document("x", 0).replace(MANIFEST.encode(), b"text/html")
    weir = new_weir(upstream_of(lambda path, query: "/manifests/" in path and (200, "text/html", page)))
    for path in ("/v2/", "/v2/up/any/manifests/v1", "/v2/up/any/tags/list", "/nowhere", "/livez", "/metrics"):
        answer = wire.ask(weir, path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert "html" not in answer.headers["content-type"], path


def test_the_memory_is_told_by_kind(new_weir, heavy):
    weir = new_weir(heavy)
    wire.ask(weir, "/v2/up/heavy/manifests/small")
    wire.ask(weir, "/v2/up/heavy/manifests/small")
    told = dict(re.findall(r'^weir_memory_bytes\{kind="(\w+)"\} (\S+)$', wire.ask(weir, "/metrics").body.decode(), re.M))
    assert set(told) == {"memos", "manifests", "tags", "links", "index", "lists", "negative", "answers"}
    assert all(float(told[kind]) > 0 for kind in ("memos", "manifests", "tags", "links")), told


def database(weir):
    """Bytes of weir.db and its log."""
    return sum(path.stat().st_size for path in weir.state.iterdir() if path.name in ("weir.db", "weir.db-wal"))


def test_manifests_count_in_the_disks_account(new_weir, heavy):
    weir = new_weir(heavy, weir={"cache": {"maxBytes": "50MB", "minFree": "1MB"}})
    for number in range(40):
        assert wire.ask(weir, f"/v2/up/heavy{number % 7}/manifests/{number}").status == 200
    assert database(weir) < 50_000_000, database(weir)
    used = eventually(lambda: (m := re.search(r"^weir_metadata_bytes (\S+)$", wire.ask(weir, "/metrics").body.decode(), re.M))
                      and float(m[1]), say="the database's weight")
    assert used < 50_000_000
    assert wire.ask(weir, "/v2/up/heavy/manifests/small").status == 200


def test_manifests_leave_the_free_space_that_is_kept_for_others(new_weir, heavy, tmp_path):
    disk = SmallDisk(tmp_path / "weir0/state", "300m")
    try:
        weir = new_weir(heavy, weir={"cache": {"minFree": "200MiB"}})
        for number in range(40):
            assert wire.ask(weir, f"/v2/up/heavy{number}/manifests/{number}").status == 200
        stat = os.statvfs(weir.state)
        # A log that is being copied into the database counts twice for a moment.
        assert stat.f_bavail * stat.f_frsize > 180 * MIB, stat.f_bavail * stat.f_frsize
    finally:
        weir.end()
        disk.stop()


def rows(weir, table):
    with contextlib.closing(sqlite3.connect(f"file:{weir.state}/weir.db?mode=ro", uri=True)) as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_queries_and_invented_names_leave_no_rows(new_weir, upstream_of):
    tags = json.dumps({"name": "x", "tags": [f"{n:07}" for n in range(100_000)]}).encode()
    upstream = upstream_of(lambda path, query: path.endswith("long/tags/list") and (200, "application/json", tags))
    weir = new_weir(upstream)
    for number in range(1, 40):
        assert len(wire.ask(weir, f"/v2/up/long/tags/list?n={number}&q={number}").json()["tags"]) == number
        wire.ask(weir, f"/v2/up/invented{number}/referrers/{sha(str(number).encode())}")
        wire.ask(weir, f"/v2/up/invented{number}/tags/list")
    assert (rows(weir, "lists"), rows(weir, "repositories")) == (1, 0)


def test_a_signature_is_seen_seconds_after_it_was_made(new_weir, upstream_of):
    """Looked for, made, looked for again, with the API and with the tag schema."""
    for api in (True, False):
        made, subject = [], sha(str(api).encode())

        def answer(path, _query, api=api, made=made, subject=subject):
            index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": made}).encode()
            if path.endswith(f"/referrers/{subject}"):
                return api and (200, INDEX, index)
            if path.endswith("/manifests/" + subject.replace(":", "-")) and made:
                return not api and (200, INDEX, index)
            return None
        weir = new_weir(upstream_of(answer), weir={"freshness": {"signatureNegativeTtl": "100ms"}})
        path = f"/v2/up/signed/referrers/{subject}"
        for number in range(3):
            eventually(lambda: len(wire.ask(weir, path).json()["manifests"]) == number, say=f"{number} signatures")
            made.append({"mediaType": MANIFEST, "digest": sha(b"%d" % number), "size": 1, "artifactType": "a/sig"})


def test_the_subject_is_not_the_list_of_its_referrers(new_weir, upstream_of):
    """GitLab takes the tag sha256-<hex> for the digest; other registries refuse the API, or lead it to a page."""
    child = {"mediaType": MANIFEST, "digest": sha(b"child"), "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}
    image = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}).encode()
    listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**child, "artifactType": "a/sig"}]}).encode()
    subject = sha(image)
    for status, kind in ((404, "application/json"), (403, "application/json"), (200, "text/html")):
        def answer(path, _query, status=status, kind=kind):
            name, _, reference = path.rpartition("/")
            if name.endswith("/referrers"):
                return (status, kind, b"<html>")
            if reference == subject.replace(":", "-"):
                return (200, INDEX, image if "gitlab" in name else listed)
            return None
        weir = new_weir(upstream_of(answer))
        assert wire.ask(weir, f"/v2/up/gitlab/referrers/{subject}").json()["manifests"] == [], status
        found = wire.ask(weir, f"/v2/up/other/referrers/{subject}").json()["manifests"]
        assert [m["digest"] for m in found] == [sha(b"child")], status


def test_oras_discover_finds_what_was_signed_and_nothing_else(new_weir, upstream_of):
    """A real client on a registry with the API, on one with the tag schema, and on one like GitLab's."""
    child = {"mediaType": MANIFEST, "digest": sha(b"child"), "size": 5, "platform": {"os": "linux", "architecture": "amd64"}}
    image = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}).encode()
    signature = document("signature", 0)
    signed = {"mediaType": MANIFEST, "digest": sha(signature), "size": len(signature), "artifactType": "a/sig"}
    listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [signed]}).encode()
    subject = sha(image)

    def answer(path, _query):
        name, _, reference = path.rpartition("/")
        kind = name.split("/")[3]
        if name.endswith("/referrers"):
            return kind == "api" and (200, INDEX, listed if reference == subject else listed.replace(
                json.dumps([signed]).encode(), b"[]"))
        body = {subject: image, "v1": image, sha(signature): signature,
                subject.replace(":", "-"): {"tag": listed, "gitlab": image}.get(kind)}.get(reference)
        return body and (200, MANIFEST if body is signature else INDEX, body, {"Docker-Content-Digest": sha(body)})
    weir = new_weir(upstream_of(answer))
    for kind, found in (("api", [sha(signature)]), ("tag", [sha(signature)]), ("gitlab", [])):
        told = run(["oras", "discover", "--plain-http", "--format", "json", f"127.0.0.1:{weir.port}/up/lab/{kind}:v1"]).stdout
        referrers = json.loads(told[told.index("{"):]).get("referrers") or []
        assert [referrer["digest"] for referrer in referrers] == found, (kind, told)
