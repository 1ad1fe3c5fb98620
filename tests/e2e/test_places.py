"""Places are shared: one upstream, one relay, one client that crawls takes its own share and nobody else's."""

import contextlib
import hashlib
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import wire
from support.images import MB
from support.proc import eventually
from support.weir import BINARY, configuration, registry_entry

CROWD = 120      # more than all places together
PLACES = 8       # of an upstream of relayed blobs


def metric(weir, name):
    page = wire.ask(weir, "/metrics").body.decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE))


@contextlib.contextmanager
def clients(weir, paths, receive=None):
    """So many requests on connections of their own, of which nobody reads an answer."""
    with contextlib.ExitStack() as stack:
        socks = []
        for path in paths:
            sock = stack.enter_context(socket.socket())
            if receive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            sock.connect(("127.0.0.1", weir.port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n".encode())
            socks.append(sock)
        yield socks


def wire_head(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(4096)
    return got.partition(b"\r\n\r\n")


@pytest.fixture
def two(new_front, start_weir):
    """A good upstream at /up, another one at /bad, and a weir over both."""
    good, bad = new_front(), new_front()
    weir = start_weir(configuration(registry_entry(good), registry_entry(bad, destination="/bad"),
                                    weir={"missTimeout": "5s", "limits": {"connections": 4096}}))
    return weir, good, bad


def nobodys(count):
    return [f"/v2/bad/lab/x/blobs/sha256:{number:064x}" for number in range(count)]


def test_an_upstream_that_says_nothing_to_many_does_not_keep_another_ones_blobs(two, multi):
    weir, _, bad = two
    # A HEAD goes before the GET of what nothing names.
    bad.rule({"kind": "blob", "method": "HEAD"}, status=200)
    bad.rule({"kind": "blob", "method": "GET"}, hang=True)
    with clients(weir, nobodys(CROWD)):
        eventually(lambda: metric(weir, "weir_fetches_running") >= CROWD, say="the crowd")
        wire.pull(weir, "up/lab/multi", "v1")


def test_blobs_that_drip_for_nobody_give_their_places_up_and_keep_what_came(two, registry, maker):
    weir, _, bad = two
    layers = [registry.push(f"lab/drip{i}", "v1", maker.single((MB,))).platform().layers[0] for i in range(3)]
    for i, layer in enumerate(layers):
        wire.ask(weir, f"/v2/bad/lab/drip{i}/manifests/v1")
        bad.rule({"kind": "blob", "reference": layer.digest}, rate=20_000)
    with clients(weir, [f"/v2/bad/lab/drip{i}/blobs/{layer.digest}" for i, layer in enumerate(layers)]):
        eventually(lambda: len(bad.blob_requests()) >= len(layers), say="the requests")
    eventually(lambda: metric(weir, "weir_fetches_parked_total") == len(layers), say="the end of their places")
    bad.heal()
    bad.forget()
    got = wire.fetch(weir, f"/v2/bad/lab/drip0/blobs/{layers[0].digest}")
    assert got.digest == layers[0].digest
    assert bad.blob_requests(layers[0].digest)[0].range, "what had come was asked for again"


def test_an_answer_that_did_not_come_names_its_upstream(two):
    weir, _, bad = two
    bad.rule({"kind": "blob"}, hang=True)
    answer = wire.ask(weir, nobodys(1)[0])
    assert answer.status == 504
    assert "upstream bad" in answer.body.decode() or bad.authority_name in answer.body.decode()


def test_blobs_that_hang_leave_their_upstreams_manifests_alone(two, multi):
    weir, _, bad = two
    # A HEAD goes before the GET of what nothing names.
    bad.rule({"kind": "blob", "method": "HEAD"}, status=200)
    bad.rule({"kind": "blob", "method": "GET"}, hang=True)
    with clients(weir, nobodys(CROWD)):
        eventually(lambda: metric(weir, "weir_fetches_running") >= CROWD, say="the crowd")
        assert wire.ask(weir, "/v2/bad/lab/multi/manifests/v1", headers={"Accept": wire.ACCEPT}).status == 200


@pytest.fixture
def full(front, new_weir):
    """A weir that may keep no blob."""
    return new_weir(front, weir={"cache": {"minFree": "100%"}, "upstreams": {"default": {"maxConcurrent": PLACES}}})


def test_readers_of_one_relayed_blob_share_its_download(full, front, registry, maker):
    layer = registry.push("lab/shared", "v1", maker.single((3 * MB,))).platform().layers[0]
    # So slow that all come while the first mebibyte is under way.
    front.rule({"kind": "blob"}, rate=MB // 2)
    path = f"/v2/docker.io/lab/shared/blobs/{layer.digest}"
    with ThreadPoolExecutor(16) as many:
        got = list(many.map(lambda _: wire.fetch(full, path), range(16)))
    assert {one.digest for one in got} == {layer.digest}
    assert front.blob_bytes(layer.digest) <= 4 * layer.size, "16 readers, a download or a few"


def test_readers_of_relayed_blobs_that_sleep_hold_no_place(full, front, registry, maker):
    layers = [registry.push(f"lab/asleep{i}", "v1", maker.single((8 * MB,))).platform().layers[0] for i in range(2 * PLACES)]
    paths = [f"/v2/docker.io/lab/asleep{i}/blobs/{layer.digest}" for i, layer in enumerate(layers)]
    awake = registry.push("lab/awake", "v1", maker.single((2 * MB,))).platform().layers[0]
    with clients(full, paths, receive=4096) as socks:
        for sock in socks:
            assert sock.recv(1)
        eventually(lambda: metric(full, "weir_relays_running") == 0, say="their transfers' end")
        assert wire.fetch(full, f"/v2/docker.io/lab/awake/blobs/{awake.digest}").digest == awake.digest
        assert full.rss() < 256 * MB


def test_a_relayed_blob_that_was_read_slowly_is_whole(full, front, registry, maker):
    layer = registry.push("lab/slow", "v1", maker.single((12 * MB,))).platform().layers[0]
    with clients(full, [f"/v2/docker.io/lab/slow/blobs/{layer.digest}"], receive=4096) as (sock,):
        sock.recv(1)
        eventually(lambda: metric(full, "weir_relays_running") == 0, say="its transfer's end")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MB)
        sock.settimeout(60)
        digest, size = hashlib.sha256(), 0
        # The status line's first letter is gone.
        _, _, body = wire_head(sock)
        while size < layer.size:
            digest.update(body)
            size += len(body)
            body = sock.recv(1 << 20) if size < layer.size else b""
            assert body or size == layer.size, "the connection was cut"
    assert "sha256:" + digest.hexdigest() == layer.digest
    assert len(front.blob_requests(layer.digest)) > 2, "it went on with requests of their own"


@pytest.mark.parametrize("limit", [18, 20, 22, 40])
def test_with_too_few_descriptors_weir_ends_at_once_and_says_why(tmp_path, limit):
    done = subprocess.run(["prlimit", f"--nofile={limit}:{limit}", BINARY, "serve"], cwd=tmp_path, capture_output=True, timeout=20,
                          env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, text=True, check=False)
    assert done.returncode == 1
    assert f"only {limit} files may be open at once" in done.stderr + done.stdout
