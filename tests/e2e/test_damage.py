"""What is wrong is never completed and never kept; what is right comes as soon as somebody has it."""

import hashlib

import pytest
from support import wire
from support.images import MB
from support.proc import eventually

FAULTS = {
    "a flipped byte in the middle": {"flip_at": 2 * MB},
    "a flipped first byte": {"flip_at": 0},
    "a flipped last byte": {"flip_at": 4 * MB - 1},
    "a short body": {"cut_after": 3 * MB, "no_range": True},
    "a size that is too large": {"length_delta": 1000},
    "a size that is too small": {"length_delta": -1000},
}


@pytest.fixture(params=FAULTS.values(), ids=[name.replace(" ", "-") for name in FAULTS])
def fault(request):
    return request.param


@pytest.fixture
def layer(registry, maker, request):
    name = f"lab/damage{abs(hash(request.node.name)) % 10 ** 8}"
    return name, registry.push(name, "v1", maker.single((4 * MB,))).platforms[0].layers[0]


def completes(weir, repository, layer):
    """True when a client would believe that it has the whole blob."""
    try:
        got = wire.fetch(weir, f"/v2/docker.io/{repository}/blobs/{layer.digest}", timeout=20)
    except OSError:
        return False
    if got.status != 200:
        return False
    assert got.digest == layer.digest or got.count < layer.size, "a wrong blob was completed"
    return got.digest == layer.digest


def keeps_wrong_bytes(weir, layer):
    """True when something else than the blob lies where finished blobs lie, under its digest."""
    value = layer.digest.split(":")[1]
    return any("staging" not in path.parts and value in str(path) and hashlib.sha256(path.read_bytes()).hexdigest() != value
               for path in weir.stored())


def test_no_client_ever_completes_a_wrong_blob_and_the_next_request_starts_anew(front, weir, layer, fault):
    repository, blob = layer
    front.rule({"kind": "blob", "method": "GET"}, **fault)
    done = completes(weir, repository, blob)
    # Where only the announced size is wrong, the right bytes may be found out in time; wrong ones never complete.
    assert not done or "length_delta" in fault
    assert not keeps_wrong_bytes(weir, blob)
    front.heal()
    eventually(lambda: completes(weir, repository, blob), say="the healed blob")
    asked = len(front.blob_requests(blob.digest))
    assert completes(weir, repository, blob)
    assert len(front.blob_requests(blob.digest)) == asked, "the good blob was not kept"


def test_a_good_second_mirror_heals_it(new_front, new_weir, layer, fault):
    bad, good = new_front(), new_front()
    weir = new_weir(bad, good)
    repository, blob = layer
    bad.rule({"kind": "blob", "method": "GET"}, **fault)
    # The first client may have seen wrong bytes before they were known as such; it then sees a short body.
    eventually(lambda: completes(weir, repository, blob), say="the blob from the good mirror")
    assert good.blob_requests(blob.digest)


def test_waiting_readers_of_a_damaged_blob_all_fail(front, weir, registry, maker):
    layer = registry.push("lab/damaged-many", "v1", maker.single((4 * MB,))).platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET"}, flip_at=MB, rate=8 * MB)
    path = f"/v2/docker.io/lab/damaged-many/blobs/{layer.digest}"
    readings = [wire.Reading(weir, path, timeout=20) for _ in range(4)]
    for reading in readings:
        try:
            reading.rest()
        except OSError:
            pass
        assert reading.count < layer.size


def test_a_damaged_manifest_is_refused_and_not_kept(front, weir, registry, maker):
    image = registry.push("lab/manifest-damage", "v1", maker.single())
    path = f"/v2/docker.io/lab/manifest-damage/manifests/{image.top.digest}"
    front.rule({"kind": "manifest", "method": "GET"}, flip_at=40)
    answer = wire.ask(weir, path)
    assert answer.status >= 500 and answer.error_codes()
    front.heal()
    answer = eventually(lambda: (a := wire.ask(weir, path)).status == 200 and a, say="the healed manifest")
    assert answer.digest == image.top.digest


def test_a_range_of_a_blob_that_turns_out_damaged_does_not_poison_the_whole(front, weir, registry, maker):
    layer = registry.push("lab/range-damage", "v1", maker.single((8 * MB,))).platforms[0].layers[0]
    path = f"/v2/docker.io/lab/range-damage/blobs/{layer.digest}"
    front.rule({"kind": "blob", "method": "GET"}, flip_at=8 * MB - 10)
    wire.ask(weir, path, headers={"Range": "bytes=-100"})
    front.heal()
    eventually(lambda: completes(weir, "lab/range-damage", layer), say="the whole blob, healed")
