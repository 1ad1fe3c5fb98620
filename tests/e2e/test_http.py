"""HTTP/1.1 as clients, proxies and attackers speak it, byte by byte."""

import http.client
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import pace, wire
from support.proc import eventually

PING = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def statuses(data):
    """The status codes of the answers that came over one connection; no body here has such a text in it."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", data)]


def test_the_ping_answers_200_whatever_the_upstream_does(weir, front):
    front.mode("silent")
    answer = wire.ask(weir, "/v2/")
    assert (answer.status, answer.headers["docker-distribution-api-version"]) == (200, "registry/2.0")
    assert wire.ask(weir, "/v2").status in (200, 301, 308)
    assert not front.requests()


def test_keep_alive_carries_many_requests(weir, multi):
    conn = wire.connection(weir.url)
    for _ in range(20):
        assert wire.ask_on(conn, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest
    conn.close()


def test_pipelined_requests_are_answered_in_order(weir, multi):
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    manifest = b"GET /v2/docker.io/lab/multi/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"
    missing = b"GET /v2/nowhere.example/x/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"
    data = wire.say(weir, manifest + missing + PING + manifest + LAST)
    assert statuses(data) == [200, 404, 200, 200, 200]
    assert data.count(multi.top.data()) == 2


def test_pipelined_downloads_do_not_mix(weir, multi):
    layers = multi.platform().layers
    requests = b"".join(f"GET /v2/docker.io/lab/multi/blobs/{l.digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for l in layers)
    data = wire.say(weir, requests + LAST)
    for layer in layers:
        head, _, data = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert data[:layer.size] == layer.data()
        data = data[layer.size:]
    assert data.startswith(b"HTTP/1.1 200")


def test_http_1_0_gets_an_answer_and_the_end_of_the_connection(weir, multi):
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    data = wire.say(weir, b"GET /v2/docker.io/lab/multi/manifests/v1 HTTP/1.0\r\n\r\n")
    assert data.startswith(b"HTTP/1.") and statuses(data) == [200]
    assert data.endswith(multi.top.data())
    assert b"transfer-encoding" not in data.lower()


def test_http_1_0_with_keep_alive_keeps_the_connection(weir):
    keep = b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert statuses(wire.say(weir, keep + b"GET /v2/ HTTP/1.0\r\n\r\n")) == [200, 200]


def test_connection_close_is_honoured_and_said(weir):
    data = wire.say(weir, LAST)
    assert statuses(data) == [200]
    assert b"\r\nconnection: close" in data.lower()


def test_a_request_that_comes_byte_by_byte_is_understood(weir):
    with wire.connect(weir.url) as sock:
        for byte in LAST:
            sock.sendall(bytes([byte]))
        assert statuses(wire.read_all(sock)) == [200]


@pytest.mark.parametrize("body", [
    b"Content-Length: 5\r\n\r\nhello",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
], ids=["length", "chunked"])
def test_a_request_body_is_read_to_its_end_and_the_connection_goes_on(weir, body):
    data = wire.say(weir, b"POST /v2/docker.io/lab/multi/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n" + body + LAST)
    first, second = statuses(data)
    assert 400 <= first < 500 and second == 200
    assert b"UNSUPPORTED" in data


def test_expect_continue_gets_a_final_answer_or_a_100(weir):
    with wire.connect(weir.url) as sock:
        sock.sendall(b"PUT /v2/docker.io/lab/multi/manifests/v9 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                     b"Expect: 100-continue\r\n\r\n")
        first = sock.recv(65536)
        assert statuses(first)[0] in (100, 405, 404, 417)
        if statuses(first) == [100]:
            sock.sendall(b"hello" + LAST)
            assert statuses(wire.read_all(sock))[0] in (405, 404, 400)


def test_a_push_is_refused_with_an_oci_error(weir):
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("DELETE", "manifests/v1")):
        answer = wire.ask(weir, f"/v2/docker.io/lab/multi/{path}", method, body=b"{}")
        assert answer.status in (405, 404, 501)
        assert answer.error_codes() == ["UNSUPPORTED"]


BROKEN = {
    "no-host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no-version": b"GET /v2/\r\n\r\n",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "space-before-colon": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
    "folded": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n",
    "bare-lf": b"GET /v2/ HTTP/1.1\nHost: x\n\n",
    "nul": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "two-lengths": b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length-and-chunked": b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length-with-sign": b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "other-coding": b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bad-chunk": b"POST /v2/docker.io/a/b/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", BROKEN.values(), ids=BROKEN)
def test_what_two_servers_could_read_differently_is_refused_and_the_connection_closed(weir, request_bytes):
    data = wire.say(weir, request_bytes + LAST, timeout=15)
    assert len(statuses(data)) <= 1, "what followed was taken for a request"
    assert all(400 <= status < 600 for status in statuses(data)), data[:200]
    assert wire.ask(weir, "/v2/").status == 200


def test_an_absolute_target_is_understood(weir):
    assert statuses(wire.say(weir, b"GET http://x/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == [200]


def test_too_long_a_url_is_414_and_too_long_a_head_431(new_weir, front):
    weir = new_weir(front, weir={"limits": {"headerBytes": "8KiB", "urlBytes": "2KiB", "headerFields": 50}})
    assert statuses(wire.say(weir, b"GET /v2/" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")) == [414]
    assert statuses(wire.say(weir, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n")) == [431]
    many = b"".join(b"X%d: y\r\n" % number for number in range(60))
    assert statuses(wire.say(weir, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")) == [431]
    assert wire.ask(weir, "/v2/", headers={"X": "a" * 4000}).status == 200


def test_a_client_that_never_finishes_its_head_is_let_go_in_time(new_weir, front):
    weir = new_weir(front, weir={"timeouts": {"header": "500ms", "idle": "20s"}})
    with wire.connect(weir.url, timeout=10) as sock:
        began = pace.begin()
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow:")
        data = wire.read_all(sock)
        # Nothing said, it would be 10 s.
        assert 0.4 <= time.monotonic() - began and pace.in_time(began, 8)
        assert statuses(data) in ([], [408])


def test_a_drip_of_header_bytes_does_not_extend_the_time(new_weir, front):
    weir = new_weir(front, weir={"timeouts": {"header": "500ms"}})
    with wire.connect(weir.url, timeout=0.1) as sock:
        began = pace.begin()
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")

        def closed():
            try:
                sock.sendall(b"X")
                return sock.recv(1000) == b""
            except TimeoutError:
                return False
            except OSError:
                return True
        eventually(closed, say="the end of the connection")
        assert pace.in_time(began, 8)


def test_an_idle_connection_is_closed_in_time(new_weir, front):
    weir = new_weir(front, weir={"timeouts": {"idle": "300ms"}})
    with wire.connect(weir.url, timeout=10) as sock:
        sock.sendall(PING)
        began = pace.begin()
        assert statuses(wire.read_all(sock)) == [200]
        assert pace.in_time(began, 8)


def test_a_slow_but_moving_download_outlives_every_timeout(new_weir, front, registry, maker):
    layer = registry.push("lab/patient", "v1", maker.single((600_000,))).platforms[0].layers[0]
    weir = new_weir(front, http={"readTimeout": "400ms", "writeTimeout": "400ms"}, weir={"timeouts": {"idle": "400ms"}})
    front.rule({"kind": "blob"}, rate=300_000)
    got = wire.fetch(weir, f"/v2/docker.io/lab/patient/blobs/{layer.digest}")
    assert got.digest == layer.digest and got.seconds > 3 * 0.4


def test_a_thousand_connections_are_served(weir):
    socks = [wire.connect(weir.url) for _ in range(1000)]
    for sock in socks:
        sock.sendall(PING)
    for sock in socks:
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        sock.close()


def test_connections_beyond_the_limit_do_not_hurt_those_within(new_weir, front):
    weir = new_weir(front, weir={"limits": {"connections": 50}})
    held = []
    for _ in range(45):
        sock = wire.connect(weir.url)
        sock.sendall(PING)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        held.append(sock)
    extra = [wire.connect(weir.url, timeout=2) for _ in range(30)]
    for sock in held:
        sock.sendall(PING)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    for sock in held + extra:
        sock.close()

    def room():
        try:
            return wire.ask(weir, "/v2/").status == 200
        except (OSError, http.client.HTTPException):
            return False      # until weir has seen them go
    eventually(room, say="room for a new connection")


@pytest.fixture
def tls_weir(new_weir, front, authority):
    cert, key = authority.leaf("127.0.0.1", "localhost", "registry-1.docker.io")
    return new_weir(front, http={"tls": {"cert": str(cert), "key": str(key)}})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_serves_a_whole_pull(tls_weir, authority, multi, version):
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    wire.pull(tls_weir, "docker.io/lab/multi", "v1", context=context)


def test_tls_older_than_1_2_is_refused(tls_weir):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        wire.connect(tls_weir.url, context)


def test_over_tls_the_name_in_the_handshake_routes(tls_weir, authority, multi):
    """Clients that were led here by DNS: the host is registry-1.docker.io, the path has no prefix."""
    context = authority.client_context()
    with wire.connect(tls_weir.url, context, server_name="registry-1.docker.io") as sock:
        sock.sendall(b"GET /v2/lab/multi/manifests/v1 HTTP/1.1\r\nHost: registry-1.docker.io\r\nConnection: close\r\n\r\n")
        assert wire.read_all(sock).endswith(multi.top.data())


def test_a_client_that_stalls_in_the_handshake_holds_nobody_up(tls_weir, authority):
    with socket.create_connection(("127.0.0.1", tls_weir.port)):
        assert wire.ask(tls_weir, "/v2/", context=authority.client_context()).status == 200


def test_plain_http_to_the_tls_port_ends_cleanly(tls_weir, authority):
    with socket.create_connection(("127.0.0.1", tls_weir.port), timeout=10) as sock:
        sock.sendall(PING)
        assert b"200 OK" not in wire.read_all(sock)
    assert wire.ask(tls_weir, "/v2/", context=authority.client_context()).status == 200


def test_a_large_blob_over_tls_to_many_clients_is_right(tls_weir, front, authority, registry, maker):
    layer = registry.push("lab/tls", "v1", maker.single((8_000_000,))).platforms[0].layers[0]
    path, context = f"/v2/docker.io/lab/tls/blobs/{layer.digest}", authority.client_context()
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: wire.fetch(tls_weir, path, context=context).digest, range(8)))
    assert set(got) == {layer.digest}
    assert front.blob_bytes(layer.digest) == layer.size
