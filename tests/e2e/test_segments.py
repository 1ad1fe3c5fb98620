"""An upstream that caps each connection is read over several; every reader still gets one blob in order."""

import statistics
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import wire
from support.images import MB


@pytest.fixture(scope="module")
def layer(registry, maker):
    return registry.push("lab/segments", "v1", maker.single((200 * MB,))).platforms[0].layers[0]


@pytest.fixture
def capped(new_front):
    """50 MB/s a connection; plain and by sendfile, so that the two cores are left to weir and its client."""
    return new_front(tls=False, files=True, auth=None, rate=50 * MB)


SEGMENTS = {"upstreams": {"default": {"segments": {"count": 4, "size": "16MiB", "minSize": "32MiB"}}}}


@pytest.mark.deadline(180)
def test_with_segments_a_200_mb_layer_takes_half_the_time_of_the_direct_download(capped, new_weir, layer):
    direct, through = [], []
    for _ in range(3):
        direct.append(wire.fetch(capped, f"/v2/lab/segments/blobs/{layer.digest}").seconds)
        weir = new_weir(capped, weir=SEGMENTS)
        got = wire.fetch(weir, f"/v2/docker.io/lab/segments/blobs/{layer.digest}")
        assert got.digest == layer.digest
        through.append(got.seconds)
        weir.stop()
    assert statistics.median(through) <= 0.5 * statistics.median(direct), (through, direct)


@pytest.mark.deadline(180)
def test_with_segments_no_byte_is_fetched_twice_and_every_reader_gets_them_in_order(capped, new_weir, layer):
    weir = new_weir(capped, weir=SEGMENTS)
    path = f"/v2/docker.io/lab/segments/blobs/{layer.digest}"
    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(lambda _: wire.fetch(weir, path), range(3)))
    assert [g.digest for g in got] == [layer.digest] * 3
    assert capped.blob_bytes(layer.digest) == layer.size
    assert len(capped.blob_requests(layer.digest)) > 4


def test_a_cut_segment_is_fetched_again_from_where_it_broke(capped, new_weir, layer):
    weir = new_weir(capped, weir=SEGMENTS)
    capped.rule({"kind": "blob", "method": "GET"}, times=3, cut_after=5 * MB)
    got = wire.fetch(weir, f"/v2/docker.io/lab/segments/blobs/{layer.digest}")
    assert got.digest == layer.digest
    assert capped.blob_bytes(layer.digest) <= layer.size + MB


def test_a_small_blob_is_fetched_in_one_piece(capped, new_weir, registry, maker):
    small = registry.push("lab/small", "v1", maker.single((8 * MB,))).platforms[0].layers[0]
    weir = new_weir(capped, weir=SEGMENTS)
    assert wire.fetch(weir, f"/v2/docker.io/lab/small/blobs/{small.digest}").digest == small.digest
    assert len(capped.blob_requests(small.digest)) == 1


def test_an_upstream_without_ranges_is_read_in_one_piece_all_the_same(capped, new_weir, registry, maker):
    layer = registry.push("lab/unranged", "v1", maker.single((40 * MB,))).platforms[0].layers[0]
    capped.settings(rate=0)
    capped.rule({"kind": "blob"}, no_range=True)
    weir = new_weir(capped, weir=SEGMENTS)
    assert wire.fetch(weir, f"/v2/docker.io/lab/unranged/blobs/{layer.digest}").digest == layer.digest
