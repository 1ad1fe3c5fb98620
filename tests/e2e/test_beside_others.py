"""Upstreams that share nothing do not depend on each other: not for a blob that both have, and not for room on the disk."""

import pytest
from support import tiers, wire
from support.images import MB
from support.proc import eventually
from support.weir import configuration, registry_entry

EVIL = {
    "drips": {"rate": 3000},
    "sends wrong bytes": {"flip_at": 10, "rate": 4 * MB},
    "says another size": {"length_delta": 6 * MB, "rate": 200_000},
    "sends half, then nothing": {"stall_after": MB // 2},
    "sends half, and wrong": {"flip_at": 10, "stall_after": MB // 2},
    "cuts": {"cut_after": MB // 2},
}


@pytest.fixture
def two(new_front, start_weir):
    """(evil, good, weir): two registries, each with a path of its own."""
    evil, good = new_front(), new_front()

    def start(**weir):
        hosts = {"docker.io": "good", "*.docker.io": "good"}
        return start_weir(configuration(registry_entry(evil, destination="/evil"), registry_entry(good, destination="/good"),
                                        weir={"hosts": hosts, **weir}))
    return evil, good, start


@pytest.mark.parametrize("way", EVIL)
def test_a_blob_that_a_bad_upstream_was_asked_for_first_comes_from_the_good_one(two, registry, maker, way):
    evil, good, start = two
    layer = registry.push("lab/shared", "v1", maker.single((MB,))).platforms[0].layers[0]
    evil.rule({"kind": "blob", "method": "GET"}, **EVIL[way])
    weir = start()
    poisoned = wire.Reading(weir, f"/v2/evil/lab/shared/blobs/{layer.digest}")
    evil.wait_for(lambda log: any(a.reference == layer.digest and a.method == "GET" for a in log), say="the bad one is asked")
    got = wire.fetch(weir, f"/v2/good/lab/shared/blobs/{layer.digest}", timeout=20)
    assert (got.status, got.digest) == (200, layer.digest)
    # One that is cut and goes on is nearly there: what it brings is waited for.
    assert len(good.blob_requests(layer.digest)) <= 1
    poisoned.close()


def test_a_bad_upstream_that_comes_second_changes_nothing_for_those_of_the_good_one(two, registry, maker):
    evil, good, start = two
    layer = registry.push("lab/second", "v1", maker.single((4 * MB,))).platforms[0].layers[0]
    evil.rule({"kind": "blob", "method": "GET"}, flip_at=10)
    good.rule({"kind": "blob", "method": "GET"}, rate=2 * MB)
    weir = start()
    reading = wire.Reading(weir, f"/v2/good/lab/second/blobs/{layer.digest}")
    reading.read(MB)
    other = wire.Reading(weir, f"/v2/evil/lab/second/blobs/{layer.digest}")
    assert reading.rest().digest == layer.digest
    assert good.blob_bytes(layer.digest) == layer.size
    reading.close()
    other.close()


def test_room_that_an_upstream_only_speaks_of_evicts_nothing(two, registry, maker):
    evil, _, start = two
    layers = [registry.push(f"lab/kept{n}", "v1", maker.single((3 * MB,))).platforms[0].layers[0] for n in range(8)]
    claim = registry.push("lab/claim", "v1", maker.single((MB,))).platforms[0].layers[0]
    weir = start(cache={"maxBytes": "40MB"})
    for n, layer in enumerate(layers):
        assert wire.fetch(weir, f"/v2/good/lab/kept{n}/blobs/{layer.digest}").digest == layer.digest
    tiers.settled(weir)
    evil.rule({"kind": "blob", "method": "GET", "reference": claim.digest}, length_delta=36 * MB, stall_after=100)
    reading = wire.Reading(weir, f"/v2/evil/lab/claim/blobs/{claim.digest}")
    reading.read(50)
    more = registry.push("lab/more", "v1", maker.single((4 * MB,))).platforms[0].layers[0]
    got = wire.fetch(weir, f"/v2/good/lab/more/blobs/{more.digest}")
    assert got.digest == more.digest
    eventually(lambda: tiers.file_of(weir, more), say="it is kept beside the one that only speaks")
    assert all(tiers.file_of(weir, layer) for layer in layers)
    reading.close()
