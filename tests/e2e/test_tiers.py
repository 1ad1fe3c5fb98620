"""The disk tier: never over its bounds, never at the price of a client, and never of what is nowhere else."""

import http.client
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import tiers, wire
from support.images import MB
from support.proc import eventually
from support.s3 import driver
from support.weir import configuration, registry_entry

ALL = bool(os.environ.get("WEIR_TEST_ALL"))
KILLS = 100 if ALL else 12
SIZE = 8 * MB
LIMIT = 96 * MB


def layer_of(image):
    return image.platforms[0].layers[0]


def path_of(repository, blob):
    return f"/v2/docker.io/{repository}/blobs/{blob.digest}"


@pytest.fixture
def fast_front(new_front):
    """An upstream that costs the machine little: blobs by sendfile, no TLS, no tokens."""
    return new_front(files=True, tls=False, auth=False)


@pytest.fixture
def bounded(new_weir, fast_front, faults):
    """Makes a weir with a small disk before S3."""
    def make(limit=LIMIT, weir=None, http=None, **cache):
        own = {"cache": {"maxBytes": limit, "minFree": "1MB", **cache}, "memory": {"openFiles": 16},
               "s3": {"maxAttempts": 2, "partSize": "5MiB", "singlePutSize": "5MiB"}, **(weir or {})}
        return new_weir(fast_front, storage=driver(faults), weir=own, **({"http": http} if http else {}))
    return make


@pytest.fixture(scope="module")
def series(registry, maker):
    """Forty layers of one repository, 320 MB in all, reached without their manifests."""
    layers = [maker.random_blob(SIZE) for _ in range(40)]
    for layer in layers:
        registry.push_blob("lab/series", layer)
    return layers


def zipf(count, pulls, seed=7):
    """Which blob each pull is for: the first are asked for most."""
    numbers = random.Random(seed)
    return numbers.choices(range(count), [1 / (rank + 1) ** 0.9 for rank in range(count)], k=pulls)


def get(weir, repository, blob):
    got = wire.fetch(weir, path_of(repository, blob))
    assert (got.status, got.digest) == (200, blob.digest), got
    return got


# --- the bound ---

@pytest.mark.deadline(240)
def test_the_disk_stays_within_its_bound_and_no_client_notices(bounded, series, s3):
    weir = bounded()
    watch = tiers.Watch(weir)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: get(weir, "lab/series", series[number]), zipf(len(series), 160)))
    tiers.drained(weir, 60)
    assert watch.stop() <= LIMIT, f"{watch.most} bytes in one of {watch.samples} samples"
    assert watch.samples > 10
    # Evictions may be on their way still.
    eventually(lambda: tiers.counted(weir).disk == tiers.disk_bytes(weir), say="the files to be what is counted")


@pytest.mark.deadline(240)
def test_what_was_evicted_comes_from_s3_and_never_from_an_upstream_again(bounded, series, fast_front, s3):
    weir = bounded()
    for layer in series[:24]:
        get(weir, "lab/series", layer)
        tiers.drained(weir)
    fast_front.forget()
    gone = [layer for layer in series[:24] if not tiers.file_of(weir, layer)]
    assert len(gone) >= 10
    for layer in gone:
        get(weir, "lab/series", layer)
    assert fast_front.blob_bytes() == 0


def test_a_burst_of_cold_pulls_larger_than_the_disk_fails_no_client(bounded, series):
    weir = bounded(limit=40 * MB)
    watch = tiers.Watch(weir)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda layer: get(weir, "lab/series", layer), series[:32]))
    assert watch.stop() <= 40 * MB, watch.most


def test_a_blob_larger_than_the_whole_disk_is_passed_on(bounded, registry, maker):
    layer = maker.random_blob(30 * MB)
    registry.push_blob("lab/huge", layer)
    weir = bounded(limit=20 * MB)
    watch = tiers.Watch(weir)
    get(weir, "lab/huge", layer)
    assert watch.stop() <= 20 * MB
    assert not tiers.file_of(weir, layer)


def test_what_is_asked_for_often_stays(bounded, series, faults):
    weir = bounded()
    favourite = series[0]
    for layer in series[1:30]:
        get(weir, "lab/series", favourite)
        get(weir, "lab/series", layer)
        tiers.drained(weir)
    assert tiers.file_of(weir, favourite)
    assert not faults.blob_gets(favourite), "it had gone, and come back from S3"


def test_what_is_being_read_is_not_evicted(bounded, series):
    # However long the rest takes, the reader that takes nothing meanwhile is not given up.
    weir = bounded(http={"writeTimeout": "0s"})
    held = series[0]
    get(weir, "lab/series", held)
    tiers.drained(weir)
    reading = wire.Reading(weir, path_of("lab/series", held), receive_buffer=16384)
    reading.read(1000)
    for layer in series[1:30]:
        get(weir, "lab/series", layer)
        tiers.drained(weir)
    assert tiers.file_of(weir, held)
    assert reading.rest().digest == held.digest
    reading.close()


def test_reads_of_small_ranges_keep_a_blob_alive(bounded, series, faults):
    """Lazy snapshotters never read a blob whole."""
    weir = bounded()
    lazy = series[0]
    get(weir, "lab/series", lazy)
    for number, layer in enumerate(series[1:30]):
        first = number * 1000
        answer = wire.ask(weir, path_of("lab/series", lazy), headers={"Range": f"bytes={first}-{first + 99}"})
        assert (answer.status, answer.body) == (206, lazy.data()[first:first + 100])
        get(weir, "lab/series", layer)
        tiers.drained(weir)
    assert tiers.file_of(weir, lazy)
    assert not faults.blob_gets(lazy), "it had gone, and come back from S3"


def test_a_blob_that_is_not_read_for_max_age_leaves_the_disk_once_it_is_in_s3(bounded, series, faults, s3):
    faults.mode("refuse")
    weir = bounded(maxAge="1s")
    get(weir, "lab/series", series[0])
    again = series[1]
    get(weir, "lab/series", again)
    tiers.settled(weir)
    assert not s3.blobs() and tiers.file_of(weir, series[0])
    faults.heal()
    tiers.drained(weir, 60)
    eventually(lambda: not tiers.file_of(weir, series[0]), say="its going")
    get(weir, "lab/series", series[0])


def test_without_s3_what_an_upstream_can_give_again_goes(new_weir, fast_front, series):
    weir = new_weir(fast_front, weir={"cache": {"maxBytes": LIMIT, "minFree": "1MB"}})
    watch = tiers.Watch(weir)
    for layer in series[:24]:
        get(weir, "lab/series", layer)
    for layer in series[:4]:
        get(weir, "lab/series", layer)
    assert watch.stop() <= LIMIT


def test_a_lower_bound_takes_hold_at_a_reload(bounded, series):
    weir = bounded()
    for layer in series[:10]:
        get(weir, "lab/series", layer)
    tiers.drained(weir)
    weir.config["weir"]["cache"]["maxBytes"] = 40 * MB
    weir.reload()
    eventually(lambda: tiers.disk_bytes(weir) <= 40 * MB, say=lambda: f"40 MB, not {tiers.disk_bytes(weir)}")


# --- pins and quotas ---

@pytest.mark.parametrize("how", ["verb", "configuration"])
def test_what_is_pinned_never_leaves_the_disk(bounded, series, registry, maker, fast_front, faults, how):
    image = registry.push("lab/pinned", "v1", maker.single((SIZE, MB)))
    registry.push("lab/pinned", "v2", maker.single((SIZE,)))
    pins = {"pins": [{"repositories": "*/lab/pinned", "tags": "v1"}]} if how == "configuration" else {}
    weir = bounded(**pins)
    if how == "verb":
        assert tiers.verb(weir, "pin", "docker.io/lab/pinned:v1") == {"repositories": "up/lab/pinned", "tags": "v1"}
    for tag in ("v1", "v2"):
        wire.pull(weir, "docker.io/lab/pinned", tag)
    for layer in series[:30]:
        get(weir, "lab/series", layer)
        tiers.drained(weir)
    assert all(tiers.file_of(weir, blob) for blob in image.platforms[0].blobs())
    fast_front.mode("refuse")
    faults.mode("refuse")
    wire.pull(weir, "docker.io/lab/pinned", "v1")


def test_pins_are_listed_and_an_unpinned_blob_may_go(bounded, series, registry, maker):
    layer = layer_of(registry.push("lab/unpinned", "v1", maker.single((SIZE,))))
    weir = bounded()
    tiers.verb(weir, "pin", "docker.io/lab/unpinned")
    assert tiers.verb(weir, "pins") == [{"repositories": "up/lab/unpinned", "tags": "*", "source": "database"}]
    wire.pull(weir, "docker.io/lab/unpinned", "v1")
    for layer_ in series[:14]:
        get(weir, "lab/series", layer_)
    tiers.drained(weir)
    assert tiers.file_of(weir, layer)
    tiers.verb(weir, "unpin", "docker.io/lab/unpinned")
    assert tiers.verb(weir, "pins") == []
    for layer_ in series[14:40]:
        get(weir, "lab/series", layer_)
        tiers.drained(weir)
    assert not tiers.file_of(weir, layer)


def test_a_disk_full_of_pins_passes_the_rest_on(bounded, series):
    weir = bounded(limit=40 * MB, pins=[{"repositories": "**"}])
    watch = tiers.Watch(weir)
    for layer in series[:12]:
        get(weir, "lab/series", layer)
    assert watch.stop() <= 40 * MB


def test_an_upstream_over_its_quota_gives_way_and_others_do_not(start_weir, new_front, faults, registry, maker):
    fronts = [new_front(files=True, tls=False, auth=False) for _ in range(2)]
    config = configuration(
        registry_entry(fronts[0]), registry_entry(fronts[1], destination="/other"), storage=driver(faults),
        weir={"cache": {"quotas": {"up": 3 * SIZE}, "minFree": "1MB"}})
    weir = start_weir(config)
    ours = [maker.random_blob(SIZE) for _ in range(7)]
    others = [maker.random_blob(SIZE) for _ in range(4)]
    for name, layers in (("lab/quota", ours), ("lab/free", others)):
        for layer in layers:
            registry.push_blob(name, layer)
    for layer in others:
        got = wire.fetch(weir, f"/v2/other/lab/free/blobs/{layer.digest}")
        assert got.digest == layer.digest
    for layer in ours:
        got = wire.fetch(weir, f"/v2/up/lab/quota/blobs/{layer.digest}")
        assert got.digest == layer.digest
    tiers.drained(weir)
    held = lambda layers: sum(layer.size for layer in layers if tiers.file_of(weir, layer))
    eventually(lambda: held(ours) <= 3 * SIZE, say=lambda: f"the quota; {held(ours)} bytes are held")
    assert held(ours) > 0 and held(others) == 4 * SIZE


def test_a_large_blob_is_kept_from_its_second_request_on_if_wanted_so(bounded, series, s3, registry, maker):
    weir = bounded(admission={"minBytes": 4 * MB})
    layer, small = series[0], maker.random_blob(MB)
    registry.push_blob("lab/series", small)
    get(weir, "lab/series", small)
    get(weir, "lab/series", layer)
    eventually(lambda: tiers.file_of(weir, small), say="the small one")
    eventually(lambda: tiers.disk_bytes(weir) == small.size, say="the large one's going")
    tiers.settled(weir)     # or the next request joins the one that was not kept
    get(weir, "lab/series", layer)
    eventually(lambda: tiers.file_of(weir, layer), say="the large one")


# --- what is nowhere else ---

def test_with_s3_away_nothing_that_waits_for_its_upload_is_lost(bounded, series, faults, fast_front, s3):
    """The disk fills with what can't go up; the rest is passed on; then S3 is back and has everything that was kept."""
    faults.mode("refuse")
    weir = bounded(limit=48 * MB)
    watch = tiers.Watch(weir)
    for layer in series[:20]:
        get(weir, "lab/series", layer)
    assert watch.stop() <= 48 * MB
    stored = tiers.rows(weir, "SELECT digest FROM blobs WHERE on_disk = 1 AND in_s3 = 0")
    kept = [layer for layer in series[:20] if (tiers.digest_key(layer.digest),) in stored]
    assert len(kept) >= 3
    fast_front.mode("refuse")
    for layer in kept:
        get(weir, "lab/series", layer)
    faults.heal()
    tiers.drained(weir, 60)
    assert all(s3.holds(layer) for layer in kept)


def test_a_full_disk_with_s3_away_keeps_what_it_has_over_a_restart(bounded, series, faults, fast_front):
    faults.mode("silent")
    weir = bounded(limit=40 * MB)
    for layer in series[:10]:
        get(weir, "lab/series", layer)
    tiers.settled(weir)
    kept = [layer for layer in series[:10] if tiers.file_of(weir, layer)]
    weir.kill()
    weir.start()
    fast_front.mode("refuse")
    for layer in kept:
        get(weir, "lab/series", layer)


# --- kill -9 ---

class Pullers:
    """Clients that pull at random until they are told to stop. What they were given is remembered."""

    def __init__(self, weir, images, seed):
        self.weir, self.images = weir, images
        self.answered, self.wrong = set(), []
        self.finished = 0
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed * 10 + n),), daemon=True)
                         for n in range(2)]
        for thread in self._threads:
            thread.start()

    def _run(self, numbers):
        while not self._end.is_set():
            name = numbers.choice(sorted(self.images))
            try:
                top = wire.ask(self.weir, f"/v2/docker.io/{name}/manifests/v1", timeout=20)
                if top.status != 200:
                    continue
                if top.digest != self.images[name].top.digest:
                    self.wrong.append((name, top.digest))
                self.answered.add(name)
                for blob in self.images[name].platforms[0].blobs():
                    got = wire.fetch(self.weir, path_of(name, blob), timeout=20)
                    if got.status == 200 and got.count == blob.size and got.digest != blob.digest:
                        self.wrong.append((name, blob.digest))
                self.finished += 1
            except (OSError, ValueError, http.client.HTTPException):
                pass      # weir was killed under this client
            except Exception as error:                # noqa: BLE001 - told by the test
                if not self._end.is_set() and self.weir.process.alive():
                    self.wrong.append((name, repr(error)))

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join()


def right(weir, name, image):
    top = wire.ask(weir, f"/v2/docker.io/{name}/manifests/v1")
    assert (top.status, top.digest) == (200, image.top.digest), f"{name}: {top.status} {top.body[:200]}"
    for blob in image.platforms[0].blobs():
        get(weir, name, blob)


def collected(weir):
    """After a restart one collection is enough: no file stays that no row has, and nothing waits to be erased."""
    tiers.settled(weir)
    tiers.verb(weir, "gc")
    tiers.settled(weir)
    # What this process is just evicting has its row for a moment.
    eventually(lambda: not tiers.rows(weir, "SELECT 1 FROM erasures"), say="files that are still to be erased")


@pytest.mark.deadline(1500 if ALL else 300)
def test_kill_9_during_uploads_and_evictions_loses_and_leaves_nothing(bounded, fast_front, faults, s3, registry, maker):
    images = {f"lab/loop{n}": registry.push(f"lab/loop{n}", "v1", maker.single((6 * MB, 2 * MB, MB)))
              for n in range(14)}
    weir = bounded(limit=60 * MB, weir={"freshness": {"ttl": "1h"}})
    weir.config["storage"].update(gcDelay="1s")
    weir.restart()
    faults.rule({"method": "PUT", "room": "blobs"}, rate=30 * MB)
    numbers = random.Random(1)
    answered = set()
    for kill in range(KILLS):
        pullers = Pullers(weir, images, kill)
        # Not a time but an event decides when: so many requests to S3 and pulls after the start.
        seen = len(faults.requests())
        requests, pulls = numbers.randint(0, 12), numbers.randint(0, 6)
        eventually(lambda: pullers.finished >= pulls and (len(faults.requests()) >= seen + requests or
                                                         pullers.finished >= pulls + 4), 60, "work to break off")
        weir.kill()
        pullers.stop()
        assert not pullers.wrong
        answered |= pullers.answered
        weir.start()
        # Tags are served from what is stored, whatever the upstream's manifests are.
        fast_front.rule({"kind": "manifest"}, status=500)
        for name in sorted(answered):
            right(weir, name, images[name])
        fast_front.heal()
        collected(weir)
    faults.heal()
    for name, image in images.items():
        right(weir, name, image)
        tiers.drained(weir)
    fast_front.mode("refuse")
    for name, image in images.items():
        right(weir, name, image)
    tiers.drained(weir)
    collected(weir)
    eventually(lambda: not tiers.stray_files(weir), say=lambda: f"the end of {tiers.stray_files(weir)}")
    report = tiers.verb(weir, "scrub", "--rate", "0")
    assert report["clean"] and not report["problems"] and not report["orphans"], report


def test_parts_of_an_upload_whose_id_was_lost_go_with_a_collection(bounded, series, faults, s3):
    """S3 had begun it when the answer was lost: no row tells, and nobody would ever end it."""
    faults.rule({"method": "POST", "target": "[?]uploads"}, times=1, cut_after=0)
    weir = bounded()
    get(weir, "lab/series", series[0])
    tiers.drained(weir)
    assert s3.holds(series[0]) and len(s3.left_uploads()) == 1
    # It is younger than the grace: another process on this bucket may be at it.
    weir.config["storage"].update(gcDelay="1h")
    weir.restart()
    assert tiers.verb(weir, "gc")["uploads"] == 0
    assert len(s3.left_uploads()) == 1
    weir.config["storage"].update(gcDelay="1ms")
    weir.restart()
    assert tiers.verb(weir, "gc", "--dry-run")["uploads"] == 1
    assert len(s3.left_uploads()) == 1
    assert tiers.verb(weir, "gc")["uploads"] == 1
    assert not s3.left_uploads()
    assert s3.holds(series[0])


def test_an_upload_that_s3_does_not_let_go_of_keeps_its_id_until_it_does(bounded, series, faults, s3):
    """A kill in the middle leaves parts; the abort fails at first; the id may not be forgotten over that."""
    faults.rule({"method": "PUT", "room": "blobs"}, hang=True)
    weir = bounded(weir={"s3": {"responseTimeout": "30s", "maxAttempts": 1, "partSize": "5MiB", "singlePutSize": "5MiB"}})
    get(weir, "lab/series", series[0])
    faults.wait_for(lambda asked: any(r.method == "PUT" and "partNumber" in r.target for r in asked))
    assert tiers.rows(weir, "SELECT upload_id <> '' FROM uploads WHERE what = 0") == [(1,)], "a part before its id"
    weir.kill()
    assert len(s3.left_uploads()) == 1
    faults.heal()
    faults.rule({"method": "DELETE", "room": "blobs"}, status=500)
    faults.forget()
    weir.start()
    faults.wait_for(lambda asked: sum(r.method == "DELETE" for r in asked) >= 2, 30, "aborts that fail")
    assert len(s3.left_uploads()) == 1 and not s3.holds(series[0])
    faults.heal()
    tiers.drained(weir)
    assert not s3.left_uploads() and s3.holds(series[0])


def test_what_was_stored_before_there_was_an_s3_goes_up_behind_a_start(new_weir, fast_front, faults, s3, registry, maker):
    images = {f"lab/before{n}": registry.push(f"lab/before{n}", "v1", maker.single((MB, 2 * MB))) for n in range(3)}
    weir = new_weir(fast_front, weir={"freshness": {"ttl": "1h"}})
    for name, image in images.items():
        right(weir, name, image)
    tiers.settled(weir)
    weir.stop()
    weir.config.setdefault("storage", {}).update(driver(faults))
    weir.start()
    blobs = [blob for image in images.values() for blob in image.platforms[0].blobs()]
    eventually(lambda: all(s3.holds(blob) for blob in blobs), say="what was there before")
    tiers.drained(weir)
    assert len(s3.objects("tags")) == 3 and len(s3.objects("manifests")) == 3
    weir.stop()
    tiers.wipe_disk(weir)
    fast_front.forget()
    weir.start()
    for name, image in images.items():
        right(weir, name, image)
    assert fast_front.blob_bytes() == 0
    # It has been looked for, and is not again.
    assert tiers.rows(weir, "SELECT all_queued FROM counters") == [(1,)]


@pytest.mark.parametrize("when", ["start", "collection"])
def test_a_file_whose_unlink_a_kill_has_prevented_goes_with_the_next(bounded, series, when):
    """The row had gone, and said with its going that the file has to."""
    weir = bounded()
    layer = series[0]
    get(weir, "lab/series", layer)
    tiers.drained(weir)
    kept = tiers.file_of(weir, layer)
    left = kept.with_name(f"{layer.digest[7:]}.999999")

    def leave():
        left.write_bytes(b"evicted")
        tiers.change(weir, "INSERT INTO erasures (digest, generation) VALUES (?, 999999)",
                     tiers.digest_key(layer.digest))

    if when == "start":
        weir.kill()
        leave()
        weir.start()
    else:
        leave()
        tiers.verb(weir, "gc")
    eventually(lambda: not left.exists() and not tiers.rows(weir, "SELECT 1 FROM erasures"), say="the file's going")
    assert kept.exists()


def test_what_a_kill_or_a_break_leaves_on_the_disk_is_what_is_counted(new_front, new_weir, registry, maker):
    """A layer's file is allocated whole; what doesn't come of it takes no room that maxBytes doesn't know of."""
    front = new_front(tls=False, auth=False)
    weir = new_weir(front, weir={"cache": {"maxBytes": LIMIT}, "fetch": {"recordInterval": "16MiB"},
                                  "upstreams": {"default": {"stallTimeout": "5m"}}})
    killed, broken = (layer_of(registry.push(f"lab/{name}", "v1", maker.single((48 * MB,)))) for name in ("killed", "broken"))

    def settled():
        # Blocks that extents begin and end in, and small blobs' ends.
        return abs(tiers.allocated(weir) - sum(tiers.counted(weir))) < MB

    front.rule({"kind": "blob"}, stall_after=30 * MB)
    reading = wire.Reading(weir, path_of("lab/killed", killed))
    reading.read(30 * MB)
    # What has come is made durable beside the transfer; its row follows.
    eventually(lambda: tiers.counted(weir).staging >= 16 * MB, say="the record of what has come")
    weir.kill()
    reading.close()
    assert not settled(), "the kill left nothing to give back"
    weir.start()
    eventually(settled, say="the disk to take what is counted, after a kill")
    assert 16 * MB <= tiers.counted(weir).staging <= 30 * MB

    front.heal()
    front.rule({"kind": "blob", "method": "GET"}, status=404)
    front.rule({"kind": "blob", "method": "GET"}, times=1, status=0, cut_after=20 * MB)
    assert 0 < wire.fetch(weir, path_of("lab/broken", broken)).count < broken.size
    eventually(settled, say="the disk to take what is counted, after a break")
    front.heal()
    for name, layer in (("lab/killed", killed), ("lab/broken", broken)):
        get(weir, name, layer)
    # A client has its last byte once the digest is right; the row comes after it.
    eventually(settled, say="the disk to take what is counted, once both are whole")


def test_kill_9_in_the_middle_of_a_fetch_from_s3_leaves_the_object_and_no_stray_file(bounded, series, faults, fast_front, s3):
    weir = bounded()
    layer = series[0]
    get(weir, "lab/series", layer)
    tiers.drained(weir)
    weir.stop()
    tiers.wipe_disk(weir)
    faults.rule({"method": "GET"}, stall_after=3 * MB)
    for _ in range(3):
        weir.start()
        reading = wire.Reading(weir, path_of("lab/series", layer))
        reading.read(2 * MB)
        weir.kill()
        reading.close()
    faults.heal()
    fast_front.forget()
    weir.start()
    get(weir, "lab/series", layer)
    assert fast_front.blob_bytes() == 0
    eventually(lambda: not tiers.stray_files(weir), say=lambda: f"the end of {tiers.stray_files(weir)}")


def test_a_client_may_come_for_every_blob_at_once_while_the_disk_makes_room(bounded, series):
    """Joins, evictions, uploads and reads from S3 of the same blobs at the same time."""
    weir = bounded(limit=48 * MB)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: get(weir, "lab/series", series[number]), [n % 10 for n in range(60)]))
    tiers.drained(weir, 60)
    eventually(lambda: tiers.disk_bytes(weir) <= 48 * MB, say="the bound")
