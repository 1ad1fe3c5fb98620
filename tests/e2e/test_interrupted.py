"""Clients that leave, a weir that dies, upstreams that break: what has arrived is kept and the rest is fetched."""

import pytest
from support import clients, pace, tiers, wire
from support.images import MB
from support.proc import eventually

MIB = 1 << 20


def layer_of(image):
    return image.platforms[0].layers[0]


def test_a_client_that_leaves_at_a_tenth_does_not_stop_the_fetch(front, weir, registry, maker):
    layer = layer_of(registry.push("lab/leave", "v1", maker.single((20 * MB,))))
    front.rule({"kind": "blob"}, rate=20 * MB)
    path = f"/v2/docker.io/lab/leave/blobs/{layer.digest}"
    reading = wire.Reading(weir, path)
    reading.read(2 * MB)
    reading.close()
    front.wait_for(lambda log: any(a.reference == layer.digest and a.done for a in log), say="the end of the fetch")
    assert wire.fetch(weir, path).digest == layer.digest
    assert front.blob_bytes(layer.digest) == layer.size, "the fetch was broken off or made twice"


@pytest.mark.deadline(180)
def test_after_kill_9_in_the_middle_only_the_rest_is_fetched(front, new_weir, registry, maker):
    layer = layer_of(registry.push("lab/kill", "v1", maker.single((96 * MB,))))
    interval = 8 * MIB
    weir = new_weir(front, weir={"fetch": {"recordInterval": "8MiB"}, "upstreams": {"default": {"stallTimeout": "5m"}}})
    front.rule({"kind": "blob"}, stall_after=48 * MB)
    path = f"/v2/docker.io/lab/kill/blobs/{layer.digest}"
    reading = wire.Reading(weir, path)
    reading.read(48 * MB)
    had = reading.count
    # The row of the last interval follows its bytes to the disk.
    eventually(lambda: tiers.counted(weir).staging >= had - interval, say="the last record")
    weir.kill()
    reading.close()
    front.heal()
    front.forget()

    weir.start()
    assert wire.fetch(weir, path).digest == layer.digest
    assert front.blob_bytes(layer.digest) <= layer.size - had + interval
    assert front.blob_bytes(layer.digest) < layer.size, "nothing was kept"


def test_kill_9_leaves_nothing_that_a_later_start_trips_over(front, weir, registry, maker):
    layer = layer_of(registry.push("lab/left", "v1", maker.single((10 * MB,))))
    path = f"/v2/docker.io/lab/left/blobs/{layer.digest}"
    front.rule({"kind": "blob"}, stall_after=3 * MB)
    for _ in range(3):
        reading = wire.Reading(weir, path)
        reading.read(2 * MB)
        weir.kill()
        reading.close()
        weir.start()
    front.heal()
    assert wire.fetch(weir, path).digest == layer.digest
    tiers.settled(weir)
    held = sum(size for size in weir.stored().values() if size >= MB)
    assert held == layer.size, f"left-overs: {weir.stored()}"


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_upstream_cut_at_30_and_60_percent_is_invisible(front, weir, registry, maker, reset):
    layer = layer_of(registry.push("lab/cut", "v1", maker.single((20 * MB + int(reset),))))
    front.rule({"kind": "blob"}, cut_at=[0.3, 0.6], rate=40 * MB, reset=reset)
    got = wire.fetch(weir, f"/v2/docker.io/lab/cut/blobs/{layer.digest}")
    assert (got.status, got.digest) == (200, layer.digest)
    asked = front.blob_requests(layer.digest)
    assert len(asked) == 3
    assert [a.range is None for a in asked] == [True, False, False]
    # A reset may lose what the kernel had not handed on, up to 0.8 MB each; a clean end may not.
    assert front.blob_bytes(layer.digest) <= layer.size + (2 * MB if reset else 0)


def test_an_upstream_without_ranges_is_read_again_and_the_client_sees_one_body(front, weir, registry, maker):
    layer = layer_of(registry.push("lab/norange", "v1", maker.single((6 * MB,))))
    front.rule({"kind": "blob"}, no_range=True, cut_at=[0.5])
    got = wire.fetch(weir, f"/v2/docker.io/lab/norange/blobs/{layer.digest}")
    assert (got.status, got.digest) == (200, layer.digest)


REFUSALS = {
    "416 to an open range": ({"range": r"-$"}, {"status": 416}),
    "416 to every range": ({"range": "."}, {"status": 416}),
    "501": ({"range": "."}, {"status": 501}),
    "400": ({"range": "."}, {"status": 400}),
    "a cut": ({"range": "."}, {"drop": True}),
    "a part without Content-Range": ({"range": "."}, {"strip": ["Content-Range"]}),
}


@pytest.mark.parametrize("shape", REFUSALS)
def test_a_refused_range_is_no_end_of_a_cut_blob(front, new_weir, registry, maker, shape):
    """What can't be resumed is read again from its start, and the client sees one body."""
    match, what = REFUSALS[shape]
    layer = layer_of(registry.push("lab/refused", "v1", maker.single((6 * MB,))))
    front.rule({"kind": "blob"}, cut_at=[0.5])
    front.rule({"kind": "blob", **match}, **what)
    got = wire.fetch(new_weir(front), f"/v2/docker.io/lab/refused/blobs/{layer.digest}")
    assert (got.status, got.digest) == (200, layer.digest)
    # Half, then the whole; of the part that is not taken the kernel may have taken some.
    assert front.blob_bytes(layer.digest) <= layer.size * 2


def test_a_range_of_a_cold_blob_is_served_where_the_upstream_refuses_ranges(front, new_weir, registry, maker):
    layer = layer_of(registry.push("lab/refused-cold", "v1", maker.single((6 * MB,))))
    front.rule({"kind": "blob", "range": "."}, status=416)
    weir = new_weir(front)
    path = f"/v2/docker.io/lab/refused-cold/blobs/{layer.digest}"
    for first in (3_000_000, 1_000_000, 5_000_000):
        answer = wire.ask(weir, path, headers={"Range": f"bytes={first}-{first + 99}"})
        assert (answer.status, len(answer.body)) == (206, 100)
    tried = [asked for asked in front.blob_requests(layer.digest) if asked.range]
    assert len(tried) == 1, "the refusal was not remembered"


@pytest.fixture
def half(front, new_weir, registry, maker):
    """A weir that has the first megabytes of a blob, and whose upstream is gone: (weir, image)."""
    image = registry.push("lab/half", "v1", maker.single((12 * MB,), unpacks=True))
    weir = new_weir(front)
    layer = layer_of(image)
    wire.ask(weir, "/v2/docker.io/lab/half/manifests/v1")
    assert wire.ask(weir, f"/v2/docker.io/lab/half/manifests/{image.platform().manifest.digest}").status == 200
    for blob in image.platform().blobs():
        if blob.digest != layer.digest:
            assert wire.ask(weir, f"/v2/docker.io/lab/half/blobs/{blob.digest}").status == 200
    answer = wire.ask(weir, f"/v2/docker.io/lab/half/blobs/{layer.digest}", headers={"Range": "bytes=0-3999999"})
    assert answer.status == 206
    tiers.settled(weir)
    front.mode("refuse")
    return weir, image


def test_bytes_that_nobody_can_give_are_refused_before_the_head(half):
    weir, image = half
    path = f"/v2/docker.io/lab/half/blobs/{layer_of(image).digest}"
    assert wire.ask(weir, path).status in (502, 504)
    assert wire.ask(weir, path, headers={"Range": "bytes=8000000-"}).status in (502, 504)
    assert wire.ask(weir, path, headers={"Range": "bytes=1000-1999"}).status == 206


def test_containerd_goes_to_its_next_host_when_the_rest_of_a_blob_is_not_to_be_had(half, new_front):
    weir, image = half
    origin = new_front(tls=False, auth=False)
    client = clients.Containerd()
    try:
        client.pull(weir, "lab/half", "v1", image, server=origin.url)
    finally:
        client.stop()
    assert origin.blob_requests(layer_of(image).digest)


def test_nothing_in_place_of_a_blob_is_never_completed_nor_kept(front, weir, registry, maker):
    layer = layer_of(registry.push("lab/nothing", "v1", maker.single((MB,))))
    path = f"/v2/docker.io/lab/nothing/blobs/{layer.digest}"
    front.rule({"kind": "blob"}, status=200, body="")
    assert wire.ask(weir, path).status == 502
    assert wire.ask(weir, path, "HEAD").headers.get("content-length") != "0"
    front.heal()
    eventually(lambda: wire.ask(weir, path).body is not None and wire.fetch(weir, path).digest == layer.digest,
               say="the blob, once its upstream is well")


@pytest.fixture
def mirrors(new_front):
    return new_front(), new_front()


def test_a_stalled_mirror_is_left_for_the_next(mirrors, new_weir, registry, maker):
    stalled, good = mirrors
    layer = layer_of(registry.push("lab/stall", "v1", maker.single((10 * MB,))))
    weir = new_weir(stalled, good, weir={"upstreams": {"default": {"stallTimeout": "1s"}}})
    wire.ask(weir, "/v2/docker.io/lab/stall/manifests/v1")
    stalled.rule({"kind": "blob"}, stall_after=3 * MB)
    got = wire.fetch(weir, f"/v2/docker.io/lab/stall/blobs/{layer.digest}")
    assert (got.status, got.digest) == (200, layer.digest)
    resumed = good.blob_requests(layer.digest)
    assert resumed and resumed[0].range, "the next mirror was not asked for just the rest"
    assert sum(a.sent for a in resumed) <= layer.size - 3 * MB + 512 * 1024


def test_a_mirror_that_lacks_the_blob_is_passed_over(mirrors, new_weir, registry, maker):
    lacking, good = mirrors
    layer = layer_of(registry.push("lab/lack", "v1", maker.single((MB,))))
    weir = new_weir(lacking, good)
    lacking.rule({"kind": "blob"}, status=404, body='{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}')
    assert wire.fetch(weir, f"/v2/docker.io/lab/lack/blobs/{layer.digest}").digest == layer.digest
    assert good.blob_requests(layer.digest)


def test_a_mirror_that_refuses_connections_is_passed_over(mirrors, new_weir, multi):
    gone, good = mirrors
    gone.mode("refuse")
    alone = wire.pull(new_weir(good), "docker.io/lab/multi", "v1")[0]
    good.forget()
    weir = new_weir(gone, good)
    # Who waited for it would wait for upstreams.default.connectTimeout: 5 s.
    began = pace.begin()
    assert pace.in_time(began, 2 * alone + 1, wire.pull(weir, "docker.io/lab/multi", "v1")[0])
    assert good.requests(kind="manifest")


def test_a_full_disk_relays_the_blob_and_keeps_nothing(front, new_weir, registry, maker):
    layer = layer_of(registry.push("lab/full", "v1", maker.single((12 * MB,))))
    weir = new_weir(front, weir={"cache": {"minFree": "100%"}})
    path = f"/v2/docker.io/lab/full/blobs/{layer.digest}"
    assert wire.fetch(weir, path).digest == layer.digest
    eventually(lambda: weir.access(route="blob", cache="relay"), say="the access line of the relay")
    assert not [p for p, size in weir.stored().items() if size >= MB]
    assert wire.fetch(weir, path).digest == layer.digest
