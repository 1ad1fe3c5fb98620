"""Everything that can befall a byte on its way to S3 and back: no client sees it, and what is kept is right."""

import signal

import pytest
from support import clients, pace, tiers, wire
from support.images import MB
from support.proc import PATIENCE, eventually
from support.s3 import driver
from test_s3 import layer_of, only_in_s3, path_of, tiered  # noqa: F401 - the fixtures

# From S3. None of them ends by itself: what S3 does not give comes from the upstream.
READS = {
    "refuse": lambda faults: faults.mode("refuse"),
    "silent": lambda faults: faults.mode("silent"),
    "delay": lambda faults: faults.rule({"method": "GET"}, delay=0.5),
    "late": lambda faults: faults.rule({"method": "GET"}, delay=3),
    "cut": lambda faults: faults.rule({"method": "GET"}, cut_after=MB),
    "cut-at-once": lambda faults: faults.rule({"method": "GET"}, cut_after=1),
    "corrupt": lambda faults: faults.rule({"method": "GET"}, flip_at=4 * MB),
    "corrupt-first-byte": lambda faults: faults.rule({"method": "GET"}, flip_at=0),
    "500": lambda faults: faults.rule({"method": "GET"}, status=500),
    "503": lambda faults: faults.rule({"method": "GET"}, status=503),
    "403": lambda faults: faults.rule({"method": "GET"}, status=403),
}
# To S3. They hold until the test lifts them.
WRITES = {
    "refuse": lambda faults: faults.mode("refuse"),
    "delay": lambda faults: faults.rule({"method": "PUT"}, delay=0.5),
    "cut": lambda faults: faults.rule({"method": "PUT", "room": "blobs"}, cut_upload=200_000),
    "corrupt": lambda faults: faults.rule({"method": "PUT", "room": "blobs"}, flip_upload=200_000),
    "500": lambda faults: faults.rule({"method": "PUT"}, status=500),
    "503": lambda faults: faults.rule({"method": "PUT"}, status=503),
}


def completed(weir, layer, repository):
    """Whether the client has the whole blob. It may be cut short, but what is whole is right."""
    try:
        got = wire.fetch(weir, path_of(repository, layer), timeout=20)
    except OSError:
        return False
    assert got.digest == layer.digest or got.status == 200 and got.count < layer.size, "a wrong blob was completed"
    return got.digest == layer.digest


@pytest.mark.parametrize("kind", READS)
def test_a_fault_on_the_way_from_s3(only_in_s3, tiered, faults, s3, front, kind):  # noqa: F811
    repository = f"lab/from-s3-{kind}"
    layer = only_in_s3(repository)
    READS[kind](faults)
    if "corrupt" in kind:
        # Who has seen wrong bytes can only be cut off; the next one gets the right ones.
        eventually(lambda: completed(tiered, layer, repository), say="the right blob")
        assert front.blob_bytes(layer.digest) == layer.size
    else:
        assert completed(tiered, layer, repository)
    faults.heal()
    tiers.drained(tiered)
    assert clients.sha256_file(tiers.file_of(tiered, layer)) == clients.sha256_file(s3.path(layer)) == layer.digest
    front.mode("refuse")
    faults.mode("refuse")
    assert completed(tiered, layer, repository), "it is on the disk"


@pytest.mark.parametrize("kind", WRITES)
def test_a_fault_on_the_way_to_s3(tiered, faults, s3, registry, maker, kind):  # noqa: F811
    repository = f"lab/to-s3-{kind}"
    # One in parts, one in a single request.
    image = registry.push(repository, "v1", maker.single((11 * MB, MB)))
    WRITES[kind](faults)
    wire.pull(tiered, f"docker.io/{repository}", "v1")
    if kind == "refuse":
        assert tiers.waiting(tiered) > 0
    else:
        faults.wait_for(lambda log: sum(r.room == "blobs" for r in log) >= 3, say="attempts")
    layers = image.platforms[0].layers
    if kind not in ("delay", "refuse"):
        assert not any(s3.holds(layer) for layer in layers)
    faults.heal()
    tiers.drained(tiered, 60)
    for layer in layers:
        assert clients.sha256_file(s3.path(layer)) == layer.digest
    eventually(lambda: not s3.left_uploads(), say=lambda: f"the end of {s3.left_uploads()}")


# What holds an upload up for good. S3 may take its time to put parts together, so nothing but the end cuts it off there.
HANGS = {
    "one-request": {"method": "PUT", "room": "blobs"},
    "a-part": {"method": "PUT", "target": "partNumber=2"},
    "the-completion": {"method": "POST", "target": "uploadId="},
}


@pytest.mark.parametrize("what", HANGS)
def test_an_s3_that_never_answers_an_upload_does_not_hold_the_end_up(new_weir, front, faults, s3, registry, maker, what):
    repository = f"lab/ends-{what}"
    sizes = (300_000,) if what == "one-request" else (11 * MB,)
    layer = registry.push(repository, "v1", maker.single(sizes)).platforms[0].layers[0]
    weir = new_weir(front, storage=driver(faults), weir={"s3": {"partSize": "5MiB", "singlePutSize": "5MiB"}})
    faults.rule(HANGS[what], hang=True)
    wire.pull(weir, f"docker.io/{repository}", "v1")
    hung = lambda r: r.method == HANGS[what]["method"] and HANGS[what].get("target", layer.digest[7:]) in r.target
    faults.wait_for(lambda log: any(map(hung, log)), say="the upload")
    began = pace.begin()
    weir.process.send(signal.SIGTERM)
    assert weir.process.wait(PATIENCE) == 0
    # The grace is 2 s; S3 may take 10 s.
    assert pace.in_time(began, 9)
    assert not s3.holds(layer)
    faults.heal()
    weir.start()
    tiers.drained(weir, 20)
    assert clients.sha256_file(s3.path(layer)) == layer.digest
    eventually(lambda: not s3.left_uploads(), say=lambda: f"the end of {s3.left_uploads()}")
