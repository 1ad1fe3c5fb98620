"""A cold pull runs at the upstream's speed, and many cold pulls cost the upstream one."""

import statistics
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import wire
from support.images import MB
from support.proc import eventually


def upstream_headers(front, repository):
    """What a client needs to ask the upstream itself."""
    context = front.authority.client_context()
    token = wire.ask(front, f"/token?service=weir-test&scope=repository:{repository}:pull", context=context).json()
    return {"Authorization": f"Bearer {token['token']}"}, context


@pytest.mark.deadline(180)
def test_a_cold_pull_takes_no_longer_than_a_direct_one(front, new_weir, registry, maker):
    front.rule({"kind": "blob"}, rate=50 * MB)
    registry.push("lab/cold", "v1", maker.single((200 * MB, 60 * MB, 5 * MB)))
    headers, context = upstream_headers(front, "lab/cold")
    direct, through = [], []
    for _ in range(3):
        direct.append(wire.pull(front, "lab/cold", "v1", context=context, headers=headers)[0])
        weir = new_weir(front)
        through.append(wire.pull(weir, "docker.io/lab/cold", "v1")[0])
        weir.stop()
    assert statistics.median(through) <= 1.05 * statistics.median(direct), (through, direct)


def test_the_first_byte_of_a_cold_blob_comes_with_the_upstreams(front, weir, registry, maker):
    front.rule({"kind": "blob"}, rate=20 * MB, delay=0.03)
    image = registry.push("lab/first", "v1", maker.single([2 * MB] * 9))
    headers, context = upstream_headers(front, "lab/first")
    wire.ask(weir, "/v2/docker.io/lab/first/manifests/v1")
    direct, through = [], []
    for layer in image.platforms[0].layers:
        path = f"blobs/{layer.digest}"
        direct.append(wire.fetch(front, f"/v2/lab/first/{path}", headers, context).first_byte)
        through.append(wire.fetch(weir, f"/v2/docker.io/lab/first/{path}").first_byte)
    # The least of each: who was preempted says nothing of weir.
    assert min(through) <= 1.33 * min(direct), (through, direct)


@pytest.mark.deadline(180)
def test_32_cold_clients_at_once_cost_the_upstream_one_download_and_no_time(front, new_weir, registry, maker):
    front.rule({"kind": "blob"}, rate=2 * MB)
    image = registry.push("lab/herd", "v1", maker.single((8 * MB, 400_000, 100_000)))
    weir = new_weir(front)
    alone, _ = wire.pull(weir, "docker.io/lab/herd", "v1")
    weir.stop()

    weir = new_weir(front)
    front.forget()
    with ThreadPoolExecutor(32) as pool:
        times = list(pool.map(lambda _: wire.pull(weir, "docker.io/lab/herd", "v1")[0], range(32)))
    for digest, blob in image.blobs().items():
        assert len(front.blob_requests(digest)) == 1, "a blob was downloaded more than once"
        assert front.blob_bytes(digest) == blob.size
    assert max(times) <= 1.1 * alone, (max(times), alone)


def test_clients_of_different_names_join_one_fetch(front, weir, registry, maker):
    image = maker.single((8 * MB,))
    registry.push("lab/one", "v1", image)
    registry.push("lab/two", "v1", image)
    front.rule({"kind": "blob"}, rate=8 * MB)
    for repository in ("lab/one", "lab/two"):
        wire.ask(weir, f"/v2/docker.io/{repository}/manifests/v1")
    layer = image.platforms[0].layers[0]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda name: wire.fetch(weir, f"/v2/docker.io/lab/{name}/blobs/{layer.digest}"), ("one", "two")))
    assert [g.digest for g in got] == [layer.digest] * 2
    assert front.blob_bytes(layer.digest) == layer.size


def test_a_slow_reader_delays_neither_the_fetch_nor_the_others(front, weir, registry, maker):
    image = registry.push("lab/slow", "v1", maker.single((24 * MB,)))
    layer = image.platforms[0].layers[0]
    front.rule({"kind": "blob"}, rate=24 * MB)
    path = f"/v2/docker.io/lab/slow/blobs/{layer.digest}"
    slow = wire.Reading(weir, path, receive_buffer=16384)
    assert slow.read(1000)
    fast = wire.fetch(weir, path)
    assert fast.digest == layer.digest, "the reader that does not read held the other one up"
    assert slow.rest().digest == layer.digest
    assert front.blob_bytes(layer.digest) == layer.size


def test_a_reader_that_joins_late_gets_every_byte_in_order(front, weir, registry, maker):
    image = registry.push("lab/late", "v1", maker.single((20 * MB,)))
    layer = image.platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET"}, stall_after=10 * MB, times=1)
    path = f"/v2/docker.io/lab/late/blobs/{layer.digest}"
    first = wire.Reading(weir, path)
    first.read(10 * MB)
    late = wire.Reading(weir, path)
    assert late.answer.headers["x-cache"] == "joined"
    front.hang_up()     # the rest comes as a range
    assert late.rest().digest == layer.digest
    assert first.rest().digest == layer.digest
    assert front.blob_bytes(layer.digest) == layer.size
    eventually(lambda: weir.access(route="blob", cache="joined"), say="the access line of the reader that joined")


def test_the_answers_head_does_not_wait_for_the_body(front, weir, registry, maker):
    image = registry.push("lab/head", "v1", maker.single((4 * MB,)))
    layer = image.platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET"}, stall_after=0, times=1)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/head/blobs/{layer.digest}", timeout=5)
    assert reading.status == 200
    assert reading.answer.headers["Content-Length"] == str(layer.size)
    reading.close()
