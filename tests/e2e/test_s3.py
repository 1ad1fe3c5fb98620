"""The durable tier: what was pulled once comes from S3 when the disk has lost it, and S3 is never in a pull's way."""

import hashlib
import os
import statistics
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import clients, pace, tiers, wire
from support.images import MB
from support.proc import PATIENCE, eventually, run
from support.s3 import driver, presigned

# Reads of S3 that fail must not hold a test up, and parts are as small as S3 allows.
QUICK = {"s3": {"responseTimeout": "1s", "connectTimeout": "1s", "stallTimeout": "1s", "maxAttempts": 2,
                "partSize": "5MiB", "singlePutSize": "5MiB"}}


def layer_of(image):
    return image.platforms[0].layers[0]


def path_of(repository, blob):
    return f"/v2/docker.io/{repository}/blobs/{blob.digest}"


@pytest.fixture
def tiered(new_weir, front, faults):
    """A weir before one upstream, with S3 behind the proxy."""
    return new_weir(front, storage=driver(faults), weir=QUICK)


@pytest.fixture
def patient(tiered):
    """S3 is well: none of its answers is given up, however slow the machine is."""
    tiered.config["weir"]["s3"] = {**QUICK["s3"], **dict.fromkeys(("responseTimeout", "connectTimeout", "stallTimeout"), "30s")}
    tiered.restart()
    return tiered


@pytest.fixture
def only_in_s3(tiered, front, faults, s3, registry, maker):
    """Makes a blob that has gone up and left the disk; nothing of it is in weir's memory."""
    def make(repository, size=6 * MB):
        layer = layer_of(registry.push(repository, "v1", maker.single((size,))))
        wire.pull(tiered, f"docker.io/{repository}", "v1")
        tiers.drained(tiered)
        assert s3.holds(layer)
        tiered.stop()
        tiers.wipe_disk(tiered)
        front.forget()
        faults.forget()
        tiered.start()
        return layer
    return make


# --- the second life ---

@pytest.mark.usefixtures("patient")
def test_what_was_pulled_comes_from_s3_after_the_disk_was_lost(tiered, front, s3, multi):
    skopeo = clients.Skopeo()
    try:
        skopeo.pull(tiered, "lab/multi", "v1", multi)
        tiers.drained(tiered)
        assert s3.blobs() == {blob.digest: blob.size for blob in multi.blobs().values()}
        tiered.stop()
        tiers.wipe_disk(tiered)
        front.forget()
        tiered.start()
        skopeo.pull(tiered, "lab/multi", "v1", multi)
    finally:
        skopeo.stop()
    assert front.blob_bytes() == 0
    assert not front.requests(kind="manifest", method="GET")


@pytest.mark.usefixtures("patient")
def test_other_tags_and_repositories_that_share_layers_fetch_only_their_own(tiered, front, registry, maker):
    one = registry.push("lab/shared", "v1", maker.single((2 * MB, MB)))
    shared = one.platforms[0].layers
    two = registry.push("lab/shared", "v2", maker.single((300_000,), layers=shared))
    three = registry.push("lab/sharing", "v1", maker.single((200_000,), layers=shared))
    wire.pull(tiered, "docker.io/lab/shared", "v1")
    tiers.drained(tiered)
    tiered.stop()
    tiers.wipe_disk(tiered)
    front.forget()
    tiered.start()
    wire.pull(tiered, "docker.io/lab/shared", "v2")
    wire.pull(tiered, "docker.io/lab/sharing", "v1")
    own = {blob.digest: blob.size for image in (two, three) for blob in image.platforms[0].blobs()
           if blob not in shared}
    assert front.blob_bytes() == sum(own.values()), \
        [asked.reference for asked in front.blob_requests() if asked.reference not in own]


def test_what_came_from_s3_is_on_the_disk_again(only_in_s3, tiered, faults):
    layer = only_in_s3("lab/kept")
    assert wire.fetch(tiered, path_of("lab/kept", layer)).digest == layer.digest
    eventually(lambda: tiers.file_of(tiered, layer), say="the file")
    faults.mode("refuse")
    assert wire.fetch(tiered, path_of("lab/kept", layer)).digest == layer.digest


def test_a_file_that_vanishes_under_a_running_weir_comes_from_s3(new_weir, front, faults, registry, maker):
    """As `weir scrub` takes a damaged one away; weir has only just served it and has closed it since."""
    image = registry.push("lab/vanish", "v1", maker.single((300_000,) * 10))
    weir = new_weir(front, storage=driver(faults), weir={"memory": {"openFiles": 1}})
    for _ in range(2):
        wire.pull(weir, "docker.io/lab/vanish", "v1")
        tiers.drained(weir)
    front.forget()
    for layer in image.platforms[0].layers:
        tiers.file_of(weir, layer).unlink()
    wire.pull(weir, "docker.io/lab/vanish", "v1")
    assert front.blob_bytes() == 0


@pytest.mark.usefixtures("patient")
def test_a_large_blob_goes_up_in_parts_and_is_the_same(tiered, faults, s3, registry, maker):
    layer = layer_of(registry.push("lab/parts", "v1", maker.single((23 * MB,))))
    wire.pull(tiered, "docker.io/lab/parts", "v1")
    tiers.drained(tiered)
    assert clients.sha256_file(s3.path(layer)) == layer.digest
    assert len([r for r in faults.requests(method="PUT") if "partNumber" in r.target]) == 5
    assert not s3.left_uploads()


@pytest.mark.usefixtures("patient")
def test_uploads_list_nothing_and_ask_for_nothing(tiered, faults, registry, maker):
    for number in range(4):
        registry.push(f"lab/quiet{number}", "v1", maker.single((100_000,)))
        wire.pull(tiered, f"docker.io/lab/quiet{number}", "v1")
    tiers.drained(tiered)
    tiered.restart()
    wire.pull(tiered, "docker.io/lab/quiet0", "v1")
    assert {r.method for r in faults.requests()} == {"PUT"}
    # Two blobs, a manifest and a tag of each image.
    assert len(faults.requests(room="blobs")) == 8
    assert len(faults.requests(room="manifests")) == len(faults.requests(room="tags")) == 4


@pytest.mark.usefixtures("patient")
def test_a_kill_in_the_middle_of_an_upload_is_made_good_after_the_restart(tiered, faults, s3, registry, maker):
    layer = layer_of(registry.push("lab/killed-up", "v1", maker.single((23 * MB,))))
    faults.rule({"method": "PUT", "target": "partNumber=2"}, stall_upload=MB)
    wire.pull(tiered, "docker.io/lab/killed-up", "v1")
    faults.wait_for(lambda log: any("partNumber" in r.target and r.received == MB for r in log), say="a part under way")
    tiered.kill()
    assert s3.left_uploads()
    faults.heal()
    tiered.start()
    tiers.drained(tiered)
    assert clients.sha256_file(s3.path(layer)) == layer.digest
    eventually(lambda: not s3.left_uploads(), say=lambda: f"the end of {s3.left_uploads()}")
    # A part that S3 was still writing may land after the upload was aborted, so that is done again a moment later.
    aborts = [r for r in faults.requests(method="DELETE") if "uploadId=" in r.target]
    assert len({r.target for r in aborts}) == 1 and aborts[-1].at - aborts[0].at >= 1.5, aborts


# --- S3 away ---

AWAY = {"refused": lambda faults: faults.mode("refuse"), "silent": lambda faults: faults.mode("silent"),
        "500": lambda faults: faults.rule(status=500), "403": lambda faults: faults.rule(status=403)}


@pytest.fixture(params=AWAY)
def take_s3_away(request, faults):
    return lambda: AWAY[request.param](faults)


@pytest.mark.usefixtures("patient")
def test_a_start_asks_s3_nothing_and_does_not_wait_for_it(tiered, faults, take_s3_away, registry, maker):
    registry.push("lab/start", "v1", maker.single((MB,)))
    wire.pull(tiered, "docker.io/lab/start", "v1")
    tiers.drained(tiered)
    tiered.stop()
    take_s3_away()
    faults.forget()
    began = pace.begin()
    tiered.start(seconds=PATIENCE)
    # Whoever waited for S3 would wait for 30 s.
    assert pace.in_time(began, 10, tiered.ready_seconds)
    wire.pull(tiered, "docker.io/lab/start", "v1")
    assert not faults.requests()


@pytest.mark.usefixtures("patient")
def test_with_s3_away_the_disk_is_as_fast_as_ever(tiered, faults, take_s3_away, registry, maker):
    layer = layer_of(registry.push("lab/hot", "v1", maker.single((200_000,))))
    wire.pull(tiered, "docker.io/lab/hot", "v1")
    tiers.drained(tiered)
    times = lambda: [wire.fetch(tiered, path_of("lab/hot", layer)).seconds for _ in range(50)]
    before = times()
    take_s3_away()
    # Something that wants to go up, so that S3 is really being asked.
    registry.push("lab/hot-other", "v1", maker.single((200_000,)))
    wire.pull(tiered, "docker.io/lab/hot-other", "v1")
    began = pace.begin()
    after = times()
    assert statistics.median(after) <= 2 * statistics.median(before) + 0.01, (before, after)
    assert pace.in_time(began, 5, max(after)), "one waited for S3"
    assert tiers.waiting(tiered) > 0


@pytest.mark.usefixtures("patient")
def test_with_s3_away_cold_blobs_come_from_upstream_and_go_up_when_it_is_back(tiered, faults, take_s3_away, s3, multi):
    take_s3_away()
    began = pace.begin()
    seconds, _ = wire.pull(tiered, "docker.io/lab/multi", "v1")
    assert pace.in_time(began, 10, seconds)
    platform = multi.platform()
    assert tiers.waiting(tiered) > 0 and not s3.blobs()
    faults.heal()
    tiers.drained(tiered, 60)
    assert s3.blobs() == {blob.digest: blob.size for blob in platform.blobs()}


def test_with_s3_away_a_blob_that_is_only_there_comes_from_upstream(only_in_s3, tiered, take_s3_away, front):
    layer = only_in_s3("lab/gone")
    take_s3_away()
    began = pace.begin()
    got = wire.fetch(tiered, path_of("lab/gone", layer))
    assert (got.status, got.digest) == (200, layer.digest)
    assert pace.in_time(began, 9, got.seconds), "within the time that a miss may take"


def test_readyz_and_metrics_say_that_s3_is_away(tiered, faults, registry, maker):
    registry.push("lab/said", "v1", maker.single((MB,)))
    page = lambda: wire.ask(tiered, "/readyz")
    assert "s3" not in page().body.decode().lower()
    faults.rule(status=500)
    wire.pull(tiered, "docker.io/lab/said", "v1")
    eventually(lambda: "s3" in page().body.decode().lower(), say=lambda: f"a word of S3 in {page().body!r}")
    assert page().status == 200, "weir serves without S3"
    text = wire.ask(tiered, "/metrics").body.decode()
    waiting = [line for line in text.splitlines() if line.startswith("weir_uploads_waiting")]
    assert waiting and float(waiting[0].split()[-1]) >= 1
    faults.heal()
    tiers.drained(tiered, 60)
    eventually(lambda: "s3" not in page().body.decode().lower(), say="a readyz that is content")


def test_wrong_credentials_lose_nothing(new_weir, front, faults, s3, registry, maker):
    registry.push("lab/credentials", "v1", maker.single((MB,)))
    weir = new_weir(front, storage=driver(faults, secretkey="wrong"), weir=QUICK)
    wire.pull(weir, "docker.io/lab/credentials", "v1")
    faults.wait_for(lambda log: any(r.status == 403 for r in log), say="a refusal")
    assert tiers.waiting(weir) > 0
    weir.config["storage"].update(driver(faults))
    weir.restart()
    tiers.drained(weir)


def test_credentials_come_from_the_environment(new_weir, front, faults, s3, registry, maker):
    from support.s3 import ACCESS_KEY, SECRET_KEY
    registry.push("lab/environment", "v1", maker.single((MB,)))
    storage = driver(faults)
    del storage["storageDriver"]["accesskey"], storage["storageDriver"]["secretkey"]
    weir = new_weir(front, storage=storage, env={"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY})
    wire.pull(weir, "docker.io/lab/environment", "v1")
    tiers.drained(weir)
    assert SECRET_KEY not in weir.log()


# --- reading from S3 ---

@pytest.mark.usefixtures("patient")
def test_32_readers_of_a_blob_that_is_only_in_s3_cause_one_get(only_in_s3, tiered, front, faults):
    layer = only_in_s3("lab/many", 24 * MB)
    faults.rule({"method": "GET"}, rate=24 * MB)
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda _: wire.fetch(tiered, path_of("lab/many", layer)).digest, range(32)))
    assert set(got) == {layer.digest}
    assert sum(r.sent for r in faults.blob_gets(layer)) == layer.size, [(r.range, r.sent) for r in faults.blob_gets()]
    assert len(faults.blob_gets(layer)) == 1
    assert front.blob_bytes() == 0


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("header", ["bytes=1000-1999", "bytes=20000000-", "bytes=-1000", "bytes=0-0"])
def test_a_range_of_a_blob_that_is_only_in_s3(only_in_s3, tiered, front, faults, header):
    layer = only_in_s3("lab/ranged", 24 * MB)
    answer = wire.ask(tiered, path_of("lab/ranged", layer), headers={"Range": header})
    first, last = header.removeprefix("bytes=").split("-")
    data = layer.data()
    want = data[-int(last):] if not first else data[int(first):int(last) + 1 if last else None]
    assert (answer.status, answer.body) == (206, want)
    # Whole chunks of 4 MiB: the one that was asked for, and not the rest of the blob.
    assert sum(r.sent for r in faults.blob_gets()) <= max(len(want) + 8 * MB + MB, 9 * MB)
    assert front.blob_bytes() == 0


@pytest.mark.usefixtures("patient")
def test_a_head_of_a_blob_that_is_only_in_s3_asks_nobody(only_in_s3, tiered, front, faults):
    layer = only_in_s3("lab/head")
    answer = wire.ask(tiered, path_of("lab/head", layer), "HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, str(layer.size))
    assert answer.headers["docker-content-digest"] == layer.digest
    assert not front.requests() and not faults.requests()


def test_a_blob_that_is_only_in_s3_is_given_only_to_repositories_that_have_it(only_in_s3, tiered, registry, maker):
    layer = only_in_s3("lab/mine")
    registry.push("lab/theirs", "v1", maker.single((1000,)))
    wire.pull(tiered, "docker.io/lab/theirs", "v1")
    answer = wire.ask(tiered, path_of("lab/theirs", layer))
    assert (answer.status, answer.error_codes()) == (404, ["BLOB_UNKNOWN"])


@pytest.mark.usefixtures("patient")
def test_an_answer_of_s3_that_is_cut_is_continued_from_there(only_in_s3, tiered, front, faults):
    layer = only_in_s3("lab/cut-s3", 12 * MB)
    faults.rule({"method": "GET"}, times=2, cut_after=3 * MB)
    got = wire.fetch(tiered, path_of("lab/cut-s3", layer))
    assert (got.status, got.digest) == (200, layer.digest)
    assert sum(r.sent for r in faults.blob_gets(layer)) <= layer.size + MB
    assert front.blob_bytes() == 0


@pytest.mark.usefixtures("patient")
def test_a_single_503_of_s3_is_asked_again(only_in_s3, tiered, front, faults):
    layer = only_in_s3("lab/slow-down")
    faults.rule({"method": "GET"}, times=1, status=503)
    assert wire.fetch(tiered, path_of("lab/slow-down", layer)).digest == layer.digest
    assert front.blob_bytes() == 0


def test_s3_that_stalls_in_the_middle_is_left_for_the_upstream(only_in_s3, tiered, front, faults):
    layer = only_in_s3("lab/stall-s3", 12 * MB)
    faults.rule({"method": "GET"}, stall_after=3 * MB)
    got = wire.fetch(tiered, path_of("lab/stall-s3", layer), timeout=30)
    assert (got.status, got.digest) == (200, layer.digest)
    assert front.blob_bytes() <= layer.size


def test_s3_that_crawls_is_left_for_the_upstream(only_in_s3, tiered, front, faults):
    """4 KiB and then nothing for a long time: it moves, and will never arrive."""
    layer = only_in_s3("lab/crawl-s3", 12 * MB)
    faults.rule({"method": "GET"}, rate=100)
    got = wire.fetch(tiered, path_of("lab/crawl-s3", layer))
    assert (got.status, got.digest) == (200, layer.digest)
    assert got.seconds < layer.size / 100 / 100, "a hundredth of what S3 would take"


def test_wrong_bytes_in_s3_are_never_completed(only_in_s3, tiered, s3, front):
    layer = only_in_s3("lab/flipped", 6 * MB)
    tiers.flip_byte(s3.path(layer), 3 * MB)

    def completes():
        try:
            got = wire.fetch(tiered, path_of("lab/flipped", layer), timeout=20)
        except OSError:
            return False
        assert got.digest == layer.digest or got.count < layer.size, "a wrong blob was completed"
        return got.digest == layer.digest
    # The first client may have seen wrong bytes before they were known as such.
    eventually(completes, say="the right blob, from its upstream")
    assert front.blob_bytes(layer.digest) == layer.size


def test_an_object_that_has_vanished_comes_from_upstream_and_goes_up_again(only_in_s3, tiered, s3, front):
    layer = only_in_s3("lab/vanished")
    s3.path(layer).unlink()
    assert wire.fetch(tiered, path_of("lab/vanished", layer)).digest == layer.digest
    assert front.blob_bytes(layer.digest) == layer.size
    eventually(lambda: s3.holds(layer), say="the object, again")


@pytest.mark.deadline(240)
@pytest.mark.usefixtures("patient")
def test_the_first_byte_of_an_s3_hit_comes_with_s3s_own(only_in_s3, new_weir, tiered, faults, s3, front, maker, registry):
    """S3 answers after 50 ms; what comes on top of that is weir's."""
    layers = [only_in_s3(f"lab/first{n}", 300_000) for n in range(12)]
    faults.rule({"method": "GET"}, delay=0.05)
    over, direct = [], []
    for n, layer in enumerate(layers):
        direct.append(wire.fetch(faults, presigned(faults, layer)).first_byte)
        over.append(wire.fetch(tiered, path_of(f"lab/first{n}", layer)).first_byte)
    # The least of each: what else runs on the machine only ever adds to it.
    assert min(over) <= 1.2 * min(direct), f"{over} against {direct}"


# --- what it costs ---

@pytest.mark.deadline(180)
def test_a_cold_pull_takes_no_longer_with_s3(new_front, new_weir, s3, registry, maker):
    front = new_front(files=True, tls=False, auth=False)
    images = [registry.push("lab/cost", f"v{n}", maker.single((16 * MB, 8 * MB))) for n in range(4)]
    front.settings(rate=20 * MB)

    plain, behind = new_weir(front), new_weir(front, storage=driver(s3))
    without, with_s3 = [], []
    for n in range(len(images)):
        for weir, taken in ((plain, without), (behind, with_s3)):
            taken.append(wire.pull(weir, "docker.io/lab/cost", f"v{n}")[0])
        tiers.drained(behind)      # or what goes up would slow the pull without it
    assert min(with_s3) <= 1.05 * min(without) + 0.05, f"{with_s3} s with S3, {without} s without"


# --- redirects ---

def redirecting(new_weir, front, faults, **redirect):
    return new_weir(front, storage={**driver(faults), "redirectBlobURL": True},
                    weir={**QUICK, **({"redirect": redirect} if redirect else {})})


def test_no_redirect_unless_it_is_asked_for(tiered, registry, maker):
    layer = layer_of(registry.push("lab/stay", "v1", maker.single((MB,))))
    wire.pull(tiered, "docker.io/lab/stay", "v1")
    tiers.drained(tiered)
    assert wire.ask(tiered, path_of("lab/stay", layer)).status == 200


def test_a_blob_in_s3_is_given_as_a_url_that_serves_it(new_weir, front, faults, registry, maker):
    layer = layer_of(registry.push("lab/away", "v1", maker.single((6 * MB,))))
    weir = redirecting(new_weir, front, faults)
    assert wire.fetch(weir, path_of("lab/away", layer)).status == 200, "not yet in S3"
    tiers.drained(weir)
    answer = eventually(lambda: (a := wire.ask(weir, path_of("lab/away", layer))).status == 307 and a, say="a redirect")
    place = answer.headers["location"]
    assert place.startswith(faults.url + "/") and "X-Amz-Signature=" in place
    parts = urllib.parse.urlsplit(place)
    got = wire.ask(faults.url, f"{parts.path}?{parts.query}")
    assert (got.status, got.digest) == (200, layer.digest)
    part = wire.ask(faults.url, f"{parts.path}?{parts.query}", headers={"Range": "bytes=100-199"})
    assert (part.status, hashlib.sha256(part.body).digest()) == (206, hashlib.sha256(layer.data()[100:200]).digest())


def test_a_real_client_follows_the_redirect(new_weir, front, faults, multi):
    weir = redirecting(new_weir, front, faults)
    skopeo = clients.Skopeo()
    try:
        skopeo.pull(weir, "lab/multi", "v1", multi)
        tiers.drained(weir)
        faults.forget()
        skopeo.pull(weir, "lab/multi", "v1", multi)
    finally:
        skopeo.stop()
    assert faults.blob_gets()


@pytest.mark.parametrize("network,status", [("10.0.0.0/8", 200), ("127.0.0.0/8", 307)])
def test_only_clients_of_the_named_networks_are_redirected(new_weir, front, faults, registry, maker, network, status):
    layer = layer_of(registry.push("lab/networks", "v1", maker.single((MB,))))
    weir = redirecting(new_weir, front, faults, networks=[network])
    wire.pull(weir, "docker.io/lab/networks", "v1")
    tiers.drained(weir)
    weir.restart()
    assert wire.ask(weir, path_of("lab/networks", layer)).status == status


def test_a_redirect_goes_only_to_repositories_that_have_the_blob(new_weir, front, faults, registry, maker):
    layer = layer_of(registry.push("lab/redirect-mine", "v1", maker.single((MB,))))
    registry.push("lab/redirect-theirs", "v1", maker.single((1000,)))
    weir = redirecting(new_weir, front, faults)
    for name in ("lab/redirect-mine", "lab/redirect-theirs"):
        wire.pull(weir, f"docker.io/{name}", "v1")
    tiers.drained(weir)
    assert wire.ask(weir, path_of("lab/redirect-theirs", layer)).status == 404


# --- a million ---

@pytest.mark.deadline(300)
def test_a_million_blobs_in_s3_cost_no_time_and_no_request_at_the_start(tiered, faults, new_weir, front):
    program = tiers.fill_metadata()
    if not program:
        pytest.fail("fill_metadata is not built: ./dev test builds it")
    tiered.stop()
    for left in tiered.state.glob("weir.db*"):
        left.unlink()
    run([program, tiered.state / "weir.db", "--repositories", 100_000, "--blobs", 1_000_000, "--in-s3", 1], seconds=200)
    os.sync()      # or the starts wait for what was just written
    faults.forget()
    full, none = [], []
    empty = new_weir(front, storage=driver(faults))
    empty.stop()
    faults.forget()
    for _ in range(5):
        for weir, taken in ((tiered, full), (empty, none)):
            weir.start()
            taken.append(weir.ready_seconds)
            weir.stop()
    assert statistics.median(full) <= 2 * statistics.median(none) + 0.01, (full, none)
    assert not faults.requests()
