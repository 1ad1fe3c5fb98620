"""What S3 servers may do differently, with each of them: versitygw, and with ./dev test --all MinIO."""

import pytest
from support import tiers, wire
from support.images import MB
from support.proc import eventually
from support.s3 import Faults, driver, stored_digest
from test_gc import KEEP_V1, collect, own, pull_all, three  # noqa: F401 - the fixture

# Parts as small as S3 allows.
PARTS = {"s3": {"partSize": "5MiB", "singlePutSize": "5MiB", "maxAttempts": 2}, "freshness": {"ttl": "1h"},
         "gc": {"untaggedAge": "1ms"}}


def path_of(repository, blob):
    return f"/v2/docker.io/{repository}/blobs/{blob.digest}"


@pytest.fixture
def new_tiered(new_weir, front, any_s3):
    def make(server=any_s3, **storage):
        return new_weir(front, weir=PARTS, storage={**driver(server), "gcInterval": "24h", "gcDelay": "1ms", **storage})
    return make


@pytest.fixture
def pulled(new_tiered, registry, maker):
    """A weir, an image that has gone up (a layer in parts, one in a single request, an empty one), and its layers."""
    image = registry.push("lab/server", "v1", maker.single((11 * MB, MB), layers=(maker.random_blob(0),)))
    weir = new_tiered()
    wire.pull(weir, "docker.io/lab/server", "v1")
    tiers.drained(weir)
    return weir, image.platforms[0].blobs()


def lose_disk(weir, front):
    weir.stop()
    tiers.wipe_disk(weir)
    front.mode("refuse")
    weir.start()


def test_what_goes_up_is_what_comes_down(pulled, any_s3, front):
    weir, blobs = pulled
    assert {stored_digest(any_s3, blob) for blob in blobs} == {blob.digest for blob in blobs}
    lose_disk(weir, front)
    wire.pull(weir, "docker.io/lab/server", "v1")


@pytest.mark.parametrize("header", ["bytes=1000-1999", "bytes=9000000-", "bytes=-1000"])
def test_a_range_comes_from_s3(pulled, front, header):
    weir, blobs = pulled
    layer = max(blobs, key=lambda blob: blob.size)
    lose_disk(weir, front)
    answer = wire.ask(weir, path_of("lab/server", layer), headers={"Range": header})
    first, last = header.removeprefix("bytes=").split("-")
    data = layer.data()
    want = data[-int(last):] if not first else data[int(first):int(last) + 1 if last else None]
    assert (answer.status, answer.body) == (206, want)


def test_an_object_that_is_gone_is_known_as_gone(pulled, any_s3, front):
    """Another server of the same name and key, with nothing in it."""
    weir, blobs = pulled
    layer = max(blobs, key=lambda blob: blob.size)
    weir.stop()
    tiers.wipe_disk(weir)
    weir.config["storage"].update(driver(any_s3, rootdirectory="/elsewhere"))
    weir.start()
    assert wire.fetch(weir, path_of("lab/server", layer)).digest == layer.digest
    assert front.blob_bytes(layer.digest) == 2 * layer.size


def test_a_kill_in_the_middle_of_parts_is_made_good(new_tiered, any_s3, registry, maker):
    faults = Faults(any_s3)
    layer = maker.random_blob(16 * MB)
    registry.push_blob("lab/server-kill", layer)
    weir = new_tiered(faults)
    faults.rule({"method": "PUT", "target": "partNumber=2"}, stall_upload=MB)
    wire.fetch(weir, path_of("lab/server-kill", layer))
    faults.wait_for(lambda log: any("partNumber" in r.target and r.received == MB for r in log), say="a part under way")
    weir.kill()
    faults.heal()
    weir.start()
    tiers.drained(weir)
    assert stored_digest(any_s3, layer) == layer.digest
    faults.stop()


def test_what_is_collected_leaves_s3(new_tiered, three, any_s3):  # noqa: F811
    images = three("lab/server-gc")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/server-gc", images)
    told = collect(weir)
    assert told["blobs"] == 4 and told["s3Failed"] == 0
    assert not any(stored_digest(any_s3, blob) for tag in ("v2", "v3") for blob in own(images[tag]))
    assert all(stored_digest(any_s3, blob) for blob in images["v1"].platforms[0].blobs())


def test_rebuild_and_scrub_find_everything(new_tiered, three, front):  # noqa: F811
    images = three("lab/server-rebuild")
    weir = new_tiered()
    pull_all(weir, "lab/server-rebuild", images)
    weir.stop()
    tiers.wipe_disk(weir)
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    told = tiers.verb(weir, "rebuild")
    assert (told["tags"], told["manifests"], told["s3"]["blobs"], told["problems"]) == (3, 3, 7, [])
    report = tiers.verb(weir, "scrub", "--rate", "0")
    assert report["clean"] and report["s3"]["objects"] == 7, report
    front.mode("refuse")
    weir.start()
    pull_all(weir, "lab/server-rebuild", images)


def test_a_redirect_is_one_that_the_server_takes(pulled, any_s3):
    weir, blobs = pulled
    layer = max(blobs, key=lambda blob: blob.size)
    weir.stop()
    weir.config["storage"]["redirectBlobURL"] = True
    weir.start()
    answer = wire.ask(weir, path_of("lab/server", layer))
    assert answer.status == 307
    target = answer.headers["location"].removeprefix(any_s3.url)
    got = wire.ask(any_s3, target)
    assert (got.status, got.digest) == (200, layer.digest)


def test_wrong_credentials_are_told_apart_and_lose_nothing(new_tiered, any_s3, registry, maker):
    registry.push("lab/server-key", "v1", maker.single((MB,)))
    weir = new_tiered(**driver(any_s3, secretkey="wrong"))
    wire.pull(weir, "docker.io/lab/server-key", "v1")
    eventually(lambda: b"s3" in wire.ask(weir, "/readyz").body, say="a word of S3")
    assert tiers.waiting(weir) > 0
    weir.config["storage"].update(driver(any_s3))
    weir.restart()
    tiers.drained(weir)
