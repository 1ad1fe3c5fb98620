"""Collection and the verbs of the store: what goes, what stays, and that nobody notices."""

import os
import re
import statistics
import time

import pytest
from support import tiers, wire
from support.images import MB
from support.proc import cpu_seconds, eventually, run
from support.s3 import driver

ALL = bool(os.environ.get("WEIR_TEST_ALL"))
COLLECTED = 100_000 if ALL else 20_000
KEEP_V1 = {"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v1$"]}]}], "delay": "1ms"}


def layer_of(image):
    return image.platforms[0].layers[0]


def path_of(repository, blob):
    return f"/v2/docker.io/{repository}/blobs/{blob.digest}"


@pytest.fixture
def new_tiered(new_weir, front, faults):
    """Makes a weir before S3 whose garbage needs no time to ripen, and that collects only when it is told to."""
    def make(weir=None, **storage):
        return new_weir(front, storage={**driver(faults), "gcInterval": "24h", "gcDelay": "1ms", **storage},
                        weir={"gc": {"untaggedAge": "1ms"}, "s3": {"maxAttempts": 2}, "freshness": {"ttl": "1h"},
                              **(weir or {})})
    return make


@pytest.fixture
def three(registry, maker):
    """Three tags of one repository: a layer that they share, and one of their own each."""
    base = maker.random_blob(2 * MB)
    made = {}

    def push(repository):
        for tag in ("v1", "v2", "v3"):
            made[tag] = registry.push(repository, tag, maker.single((400_000,), layers=(base,)))
        return made
    return push


def own(image):
    """The blobs of an image that no other one has: its config and its last layer."""
    return (image.platforms[0].config, image.platforms[0].layers[-1])


def pull_all(weir, repository, images):
    for tag in images:
        wire.pull(weir, f"docker.io/{repository}", tag)
    if "storageDriver" in weir.config["storage"]:
        tiers.drained(weir)


def collect(weir):
    """Two passes: objects in S3 go in the pass after the one that found that nothing needs them."""
    first = tiers.verb(weir, "gc")
    second = tiers.verb(weir, "gc")
    return {key: first[key] + second[key] for key in first if key != "dryRun"}


def stop_collecting(weir):
    """From the next pass on, which there is none of."""
    before = weir.log().count("reloaded (")
    weir.config["storage"].update(gcInterval="24h", retention={"policies": []})
    weir.reload()
    eventually(lambda: weir.log().count("reloaded (") > before, say="the reload")


def last_pass_ended(weir):
    """One that took its options before a reload goes on with them."""
    begun = lambda: int(float(re.search(rb"^weir_gc_passes_total (\S+)", wire.ask(weir, "/metrics").body, re.M)[1]))
    ended = lambda: weir.log().count("objects in S3 went") + weir.log().count("the pass was broken off")
    eventually(lambda: ended() >= begun(), say="the end of the pass")


def everything(weir, s3):
    """All that a dry run might change."""
    tables = ("blobs", "manifests", "tags", "links", "doomed", "uploads")
    return ({name: tiers.rows(weir, f"SELECT count(*) FROM {name}") for name in tables},
            set(tiers.disk_files(weir)), s3.objects("blobs"), s3.objects("manifests"), s3.objects("tags"))


# --- retention ---

def test_a_dry_run_tells_what_would_go_and_why_and_changes_nothing(new_tiered, three, s3):
    images = three("lab/dry")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/dry", images)
    before = everything(weir, s3)
    told = tiers.verb(weir, "gc", "--dry-run")
    assert told["dryRun"] and told["tags"] == 2
    for tag in ("v2", "v3"):
        line = next(line for line in told["removed"] if f"up/lab/dry:{tag}" in line)
        assert images[tag].top.digest in line and "no keepTags pattern matches it" in line
    assert not any(":v1 " in line for line in told["removed"])
    said = tiers.Verb(weir, "gc", "--dry-run", json_wanted=False)
    assert "up/lab/dry:v2" in said.out and "would go" in said.out
    assert everything(weir, s3) == before
    assert not list(weir.state.glob("*rehearsal*"))


def test_a_dry_run_tells_all_that_the_next_pass_takes(new_tiered, three, multi):
    """What follows from the tags' going too, and in the pass after it the objects in S3."""
    images = three("lab/foretold")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/foretold", images)
    wire.pull(weir, "docker.io/lab/multi", "v1")
    wire.pull(weir, "docker.io/lab/multi", multi.top.digest, platform="linux/arm64")
    tiers.drained(weir)
    for number in range(2):
        foretold = tiers.verb(weir, "gc", "--dry-run")
        taken = tiers.verb(weir, "gc")
        assert foretold.pop("dryRun") and not taken.pop("dryRun")
        assert foretold == taken
        if number == 0:
            assert taken["tags"] == 2 and taken["manifests"] == 2 and taken["blobs"] == 4 and taken["links"] >= 4
        else:
            assert taken["s3Objects"] == 6
        for image in (images["v2"], images["v3"]):
            gone = [image.top, *own(image)]
            assert all(any(blob.digest in line for line in taken["removed"]) for blob in gone), taken["removed"]
    assert tiers.verb(weir, "gc", "--dry-run")["removed"] == []


def test_a_dry_run_says_which_rule_does_not_keep_a_tag(new_tiered, three):
    images = three("lab/why")
    weir = new_tiered(retention={"policies": [
        {"repositories": ["other/**"]},
        {"repositories": ["**"], "keepTags": [{"patterns": ["^v3$"]}, {"mostRecentlyPushedCount": 1}]}], "delay": "1ms"})
    pull_all(weir, "lab/why", images)
    line, = (line for line in tiers.verb(weir, "gc", "--dry-run")["removed"] if line.startswith("tag "))
    assert ":v1 " in line and line.endswith("policies[1]: keepTags[1]: not among the 1 pushed last")


def test_gc_takes_what_retention_lets_go_from_both_tiers_and_nothing_else(new_tiered, three, s3, front):
    images = three("lab/collect")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/collect", images)
    told = collect(weir)
    assert told["tags"] == 2 and told["manifests"] == 2
    assert told["blobs"] == 4 and told["bytes"] == sum(blob.size for tag in ("v2", "v3") for blob in own(images[tag]))
    for tag in ("v2", "v3"):
        assert not any(tiers.file_of(weir, blob) or s3.holds(blob) for blob in own(images[tag]))
    assert s3.blobs() == {blob.digest: blob.size for blob in images["v1"].platforms[0].blobs()}
    front.mode("refuse")
    wire.pull(weir, "docker.io/lab/collect", "v1")


def test_gc_leaves_no_manifest_and_no_tag_in_s3_that_is_gone(new_tiered, three, s3):
    """Else a rebuild would bring them back."""
    images = three("lab/gone")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/gone", images)
    collect(weir)
    tiers.drained(weir)
    value = images["v1"].top.digest[7:]
    assert (s3.objects("tags"), s3.objects("manifests")) == ({"up/lab/gone/v1"}, {f"sha256/{value[:2]}/{value}"})


@pytest.mark.parametrize("by", ["verb", "server"])
def test_a_tag_that_was_collected_is_stored_again_when_it_is_asked_for(new_tiered, three, s3, front, by):
    """What the running server still has of it in memory must not stand in for what is no longer stored."""
    images = three("lab/back")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/back", images)
    if by == "verb":
        collect(weir)
    else:
        weir.config["storage"]["gcInterval"] = "200ms"
        weir.reload()
        eventually(lambda: not any(s3.holds(blob) for blob in own(images["v2"])), say="its going")
        stop_collecting(weir)
        last_pass_ended(weir)
    wire.pull(weir, "docker.io/lab/back", "v2")
    tiers.drained(weir)
    assert all(s3.holds(blob) for blob in images["v2"].platforms[0].blobs())
    weir.restart()
    front.mode("refuse")
    wire.pull(weir, "docker.io/lab/back", "v2")


@pytest.mark.parametrize("rule,stays", [
    ({"mostRecentlyPulledCount": 1}, {"v1"}),
    ({"mostRecentlyPushedCount": 2}, {"v2", "v3"}),
    ({"pulledWithin": "1h"}, {"v1", "v2", "v3"}),
    ({"patterns": ["^v[23]$"]}, {"v2", "v3"}),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_the_rules_of_keep_tags(new_tiered, three, rule, stays):
    images = three("lab/rules")
    weir = new_tiered(retention={"policies": [{"repositories": ["**"], "keepTags": [rule]}], "delay": "1ms"})
    pull_all(weir, "lab/rules", images)
    wire.pull(weir, "docker.io/lab/rules", "v1")
    weir.stop()        # what was pulled when is in the metadata by now
    tiers.verb(weir, "gc")
    assert {name for name, in tiers.rows(weir, "SELECT name FROM tags")} == stays


def test_without_retention_every_tag_stays(new_tiered, three, front):
    images = three("lab/stay")
    weir = new_tiered()
    pull_all(weir, "lab/stay", images)
    told = collect(weir)
    assert told["tags"] == told["blobs"] == told["manifests"] == 0
    front.mode("refuse")
    pull_all(weir, "lab/stay", images)


def test_what_was_stored_within_the_grace_stays(new_tiered, three):
    images = three("lab/grace")
    weir = new_tiered(retention={**KEEP_V1, "delay": "1h"}, gcDelay="1h")
    pull_all(weir, "lab/grace", images)
    told = collect(weir)
    assert told["tags"] == told["blobs"] == 0


def test_a_manifest_pulled_by_digest_lives_until_it_was_not_pulled_for_untagged_age(new_tiered, registry, maker):
    image = registry.push("lab/by-digest", "v1", maker.single((MB,)))
    weir = new_tiered(weir={"gc": {"untaggedAge": "1h"}})
    wire.pull(weir, "docker.io/lab/by-digest", image.top.digest)
    tiers.drained(weir)
    assert collect(weir)["untagged"] == 0
    weir.stop()
    weir.config["weir"]["gc"]["untaggedAge"] = "1ms"
    weir.write_config()
    told = collect(weir)
    assert told["untagged"] == 1 and told["blobs"] == 2
    assert not tiers.disk_files(weir)


def test_the_server_collects_at_its_interval(new_tiered, three, s3):
    images = three("lab/interval")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/interval", images)
    weir.config["storage"]["gcInterval"] = "200ms"
    weir.reload()
    kept = {blob.digest: blob.size for blob in images["v1"].platforms[0].blobs()}
    eventually(lambda: s3.blobs() == kept, say=lambda: f"two images' end in S3: {s3.blobs()}")
    eventually(lambda: not any(tiers.file_of(weir, blob) for tag in ("v2", "v3") for blob in own(images[tag])),
               say="their end on the disk")


def test_without_an_interval_the_server_collects_nothing_and_idles(new_tiered, three, s3):
    images = three("lab/never")
    weir = new_tiered(retention=KEEP_V1, gcInterval="0s")
    pull_all(weir, "lab/never", images)
    before, used = everything(weir, s3), cpu_seconds(weir.pid)
    # Health pages are the clock: a thousand of them take a while.
    began = time.monotonic()
    while time.monotonic() - began < 1.5:
        assert wire.ask(weir, "/livez").status == 200
    # What spins has a whole core.
    assert cpu_seconds(weir.pid) - used <= 0.6 * (time.monotonic() - began), "it spins"
    assert everything(weir, s3) == before


def test_the_servers_own_dry_run_only_logs(new_tiered, three, s3):
    images = three("lab/dry-server")
    weir = new_tiered(retention={**KEEP_V1, "dryRun": True}, gcInterval="200ms")
    pull_all(weir, "lab/dry-server", images)
    before = everything(weir, s3)
    eventually(lambda: "up/lab/dry-server:v3" in weir.log(), say="the log line")
    for blob in own(images["v3"]):
        eventually(lambda blob=blob: f"blob {blob.digest}" in weir.log(), say="what follows")
    assert everything(weir, s3) == before


# --- collection beside pulls ---

def test_what_is_being_read_is_read_to_its_end_though_it_is_collected(new_tiered, registry, maker):
    layer = layer_of(registry.push("lab/reading", "v2", maker.single((8 * MB,))))
    weir = new_tiered(retention=KEEP_V1)
    wire.pull(weir, "docker.io/lab/reading", "v2")
    tiers.drained(weir)
    reading = wire.Reading(weir, path_of("lab/reading", layer), receive_buffer=16384)
    reading.read(1000)
    assert collect(weir)["blobs"] == 2
    assert reading.rest().digest == layer.digest
    reading.close()


def test_a_blob_that_comes_back_while_s3_deletes_it_stays_in_s3(new_tiered, three, faults, s3):
    images = three("lab/race")
    weir = new_tiered(retention=KEEP_V1, weir={"gc": {"untaggedAge": "1ms"}, "memory": {"manifestBytes": 1}})
    pull_all(weir, "lab/race", images)
    # Long enough for a reload and a pull, on any machine.
    faults.rule({"method": "POST"}, delay=3.0)
    faults.rule({"method": "DELETE"}, delay=3.0)
    faults.forget()
    weir.config["storage"]["gcInterval"] = "200ms"
    weir.reload()
    faults.wait_for(lambda log: any(r.method in ("POST", "DELETE") for r in log), say="a delete")
    stop_collecting(weir)
    wire.pull(weir, "docker.io/lab/race", "v2")
    faults.heal()
    faults.wait_for(lambda log: all(r.done for r in log if r.method in ("POST", "DELETE")), say="the delete's end")
    tiers.drained(weir, 60)
    assert all(s3.holds(blob) for blob in images["v2"].platforms[0].blobs())
    weir.stop()
    report = tiers.verb(weir, "scrub", "--rate", "0")
    assert report["clean"], report


def test_objects_that_s3_does_not_delete_go_in_a_later_pass(new_tiered, three, faults, s3):
    images = three("lab/later")
    weir = new_tiered(retention=KEEP_V1)
    pull_all(weir, "lab/later", images)
    tiers.verb(weir, "gc")
    faults.rule(status=503)
    told = tiers.verb(weir, "gc", status=1)
    assert told["s3Failed"] > 0 and told["s3Objects"] == 0
    faults.heal()
    tiers.verb(weir, "gc")
    assert s3.blobs() == {blob.digest: blob.size for blob in images["v1"].platforms[0].blobs()}


def p99(weir, paths, count=400):
    """Of `count` requests on one connection."""
    conn = wire.connection(weir.url)
    taken = []
    for number in range(count):
        answer = wire.ask_on(conn, paths[number % len(paths)])
        assert answer.status == 200
        taken.append(answer.seconds)
    conn.close()
    return statistics.quantiles(taken, n=100)[-1]


@pytest.mark.deadline(400)
def test_pulls_are_not_slower_while_s3_deletes_slowly(new_tiered, registry, maker, faults):
    program = tiers.fill_metadata()
    if not program:
        pytest.fail("fill_metadata is not built: ./dev test builds it")
    image = registry.push("lab/p99", "v1", maker.single((64_000,)))
    weir = new_tiered()
    weir.stop()
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    run([program, weir.state / "weir.db", "--repositories", COLLECTED // 50, "--blobs", COLLECTED, "--in-s3", 1],
        seconds=200)
    weir.start()
    wire.pull(weir, "docker.io/lab/p99", "v1")
    tiers.drained(weir)
    paths = ["/v2/docker.io/lab/p99/manifests/v1", path_of("lab/p99", layer_of(image))]
    p99(weir, paths)
    idle = [p99(weir, paths) for _ in range(7)]
    faults.rule({"method": "POST"}, delay=0.2)
    weir.config["storage"].update(gcInterval="3s", retention={
        "policies": [{"repositories": ["docker.io/**"], "keepTags": [{"patterns": ["^none$"]}]}], "delay": "1ms"})
    weir.reload()
    blobs = lambda: tiers.rows(weir, "SELECT blobs FROM counters")[0][0]
    eventually(lambda: blobs() < COLLECTED, 60, "the first blob's going")
    busy = []
    deadline = time.monotonic() + 120
    while tiers.rows(weir, "SELECT blobs + doomed FROM counters")[0][0] > 10 and time.monotonic() < deadline:
        busy.append(p99(weir, paths))
    assert blobs() <= 10 and len(busy) >= 5
    stop_collecting(weir)
    last_pass_ended(weir)
    idle += [p99(weir, paths) for _ in range(7)]
    # The upper quartile: about the median on a quiet machine, and on another one it tells how loud it is.
    idle_ms, busy_ms = statistics.quantiles(idle, n=4)[2] * 1000, statistics.median(busy) * 1000
    assert busy_ms <= 1.2 * idle_ms + 1, f"{busy_ms:.2f} ms while collecting, {idle_ms:.2f} ms idle"


# --- rebuild ---

def test_rebuild_makes_the_metadata_from_s3_alone(new_tiered, three, multi, front, s3):
    images = three("lab/rebuild")
    weir = new_tiered()
    pull_all(weir, "lab/rebuild", images)
    for platform in ("linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"):
        wire.pull(weir, "docker.io/lab/multi", "v1", platform=platform)
    tiers.drained(weir)
    weir.stop()
    tiers.wipe_disk(weir)
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    told = tiers.verb(weir, "rebuild")
    assert told["tags"] == 4 and told["repositories"] == 2 and told["manifests"] == 3 + 5
    assert told["s3"]["blobs"] == len(s3.blobs()) and told["s3"]["bytes"] == sum(s3.blobs().values())
    assert told["problems"] == []
    front.mode("refuse")
    front.forget()
    weir.start()
    pull_all(weir, "lab/rebuild", images)
    for platform in ("linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"):
        wire.pull(weir, "docker.io/lab/multi", "v1", platform=platform)
    assert not front.requests()
    listed = wire.ask(weir, "/v2/docker.io/lab/rebuild/tags/list")
    assert listed.status in (200, 502, 503, 504)


def test_rebuild_knows_what_is_on_the_disk(new_tiered, three, front, faults):
    images = three("lab/rebuild-disk")
    weir = new_tiered()
    pull_all(weir, "lab/rebuild-disk", images)
    weir.stop()
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    told = tiers.verb(weir, "rebuild")
    assert told["disk"]["blobs"] == 7
    weir.start()
    front.mode("refuse")
    faults.mode("refuse")
    for tag in images:
        wire.pull(weir, "docker.io/lab/rebuild-disk", tag)


def test_after_a_rebuild_a_collection_takes_nothing_that_a_tag_needs(new_tiered, three, front):
    images = three("lab/rebuild-gc")
    weir = new_tiered()
    pull_all(weir, "lab/rebuild-gc", images)
    weir.stop()
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    tiers.verb(weir, "rebuild")
    assert collect(weir)["blobs"] == 0
    weir.start()
    front.mode("refuse")
    pull_all(weir, "lab/rebuild-gc", images)


def test_rebuild_leaves_a_database_alone_that_has_something(new_tiered, three):
    images = three("lab/rebuild-not")
    weir = new_tiered()
    pull_all(weir, "lab/rebuild-not", images)
    weir.stop()
    assert tiers.Verb(weir, "rebuild").status == 2
    assert tiers.rows(weir, "SELECT count(*) FROM tags") == [(3,)]
    assert tiers.verb(weir, "rebuild", "--force")["tags"] == 3


def test_a_verb_without_a_database_says_so(new_tiered):
    weir = new_tiered()
    weir.stop()
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    for name in ("gc", "scrub", "du"):
        done = tiers.Verb(weir, name)
        assert done.status == 2 and "weir rebuild" in done.err


# --- du ---

def test_du_agrees_with_what_is_there(new_tiered, three, multi, s3):
    images = three("lab/du")
    weir = new_tiered()
    pull_all(weir, "lab/du", images)
    wire.pull(weir, "docker.io/lab/multi", "v1")
    tiers.drained(weir)
    sizes = lambda told, key: sum(entry[key] for entry in told)
    told = tiers.verb(weir, "du", "--all")
    files = [path.stat().st_size for path in tiers.disk_files(weir)]
    assert told["tiers"]["disk"] == {"blobs": len(files), "bytes": sum(files)}
    assert told["tiers"]["s3"] == {"blobs": len(s3.blobs()), "bytes": sum(s3.blobs().values())}
    assert told["tiers"]["uploads"] == {"objects": 0, "bytes": 0}
    assert sizes(told["upstreams"], "diskBytes") == sum(files)
    assert sizes(told["upstreams"], "s3Bytes") == sum(s3.blobs().values())
    # No blob is in two of the repositories.
    assert sizes(told["repositories"], "bytes") == sum(files)
    assert {(entry["name"], entry["tags"], entry["blobs"]) for entry in told["repositories"]} == \
        {("up/lab/du", 3, 7), ("up/lab/multi", 1, 4)}


# --- scrub ---

@pytest.fixture
def scrubbed(new_tiered, registry, maker):
    image = registry.push("lab/scrub", "v1", maker.single((3 * MB, MB)))
    weir = new_tiered()
    wire.pull(weir, "docker.io/lab/scrub", "v1")
    tiers.drained(weir)
    return weir, image.platforms[0].layers[0]


def scrub(weir, *args, status=0):
    return tiers.verb(weir, "scrub", "--rate", "0", *args, status=status)


def test_scrub_of_a_sound_store_reads_everything_and_finds_nothing(scrubbed, s3):
    weir, _ = scrubbed
    report = scrub(weir)
    total = sum(s3.blobs().values())
    assert report["clean"] and report["problems"] == [] and report["orphans"] == 0
    assert report["disk"] == {"files": 3, "bytes": total, "bad": 0}
    assert report["s3"] == {"objects": 3, "bytes": total, "bad": 0}


@pytest.mark.parametrize("running", [True, False], ids=["beside-a-server", "alone"])
def test_a_flipped_byte_on_the_disk_is_found_and_repaired_from_s3(scrubbed, front, running):
    weir, layer = scrubbed
    if not running:
        weir.stop()
    front.forget()
    tiers.flip_byte(tiers.file_of(weir, layer), MB)
    report = scrub(weir, "--repair", status=1)
    problem, = report["problems"]
    assert (problem["digest"], problem["where"], problem["what"]) == (layer.digest, "disk", "has another digest")
    assert problem["outcome"] == "repaired from s3" and report["repaired"] == 1
    assert scrub(weir)["clean"]
    if not running:
        weir.start()
    assert wire.fetch(weir, path_of("lab/scrub", layer)).digest == layer.digest
    assert front.blob_bytes() == 0


def test_without_repair_a_wrong_file_goes_and_the_blob_comes_from_s3(scrubbed, front):
    weir, layer = scrubbed
    front.forget()
    tiers.flip_byte(tiers.file_of(weir, layer), MB)
    report = scrub(weir, status=1)
    assert report["problems"][0]["outcome"] == "comes again from S3"
    assert not tiers.file_of(weir, layer)
    assert wire.fetch(weir, path_of("lab/scrub", layer)).digest == layer.digest
    assert front.blob_bytes() == 0


def test_after_a_scrub_a_running_server_gives_nobody_the_wrong_file(scrubbed, front):
    weir, layer = scrubbed
    tiers.flip_byte(tiers.file_of(weir, layer), MB)
    scrub(weir, "--repair", status=1)
    assert wire.fetch(weir, path_of("lab/scrub", layer)).digest == layer.digest


def test_a_flipped_byte_in_s3_is_found_and_repaired_from_the_disk(scrubbed, s3):
    weir, layer = scrubbed
    tiers.flip_byte(s3.path(layer), MB)
    report = scrub(weir, status=1)
    problem, = report["problems"]
    assert (problem["digest"], problem["where"], problem["what"]) == (layer.digest, "s3", "has another digest")
    tiers.drained(weir)
    assert s3.path(layer).read_bytes() == layer.data()
    assert scrub(weir)["clean"]


def test_an_object_that_is_gone_goes_up_again(scrubbed, s3):
    weir, layer = scrubbed
    s3.path(layer).unlink()
    assert scrub(weir, "--quick", status=1)["problems"][0]["what"] == "is gone"
    tiers.drained(weir)
    assert s3.path(layer).read_bytes() == layer.data()


def test_a_blob_that_is_wrong_in_both_tiers_is_repaired_from_its_upstream(scrubbed, s3, front):
    weir, layer = scrubbed
    weir.stop()
    front.forget()
    tiers.flip_byte(tiers.file_of(weir, layer), MB)
    tiers.flip_byte(s3.path(layer), MB)
    report = scrub(weir, "--repair", status=1)
    assert report["disk"]["bad"] == 1 and report["s3"]["bad"] == 1
    assert front.blob_bytes(layer.digest) == layer.size
    weir.start()
    tiers.drained(weir)
    assert scrub(weir)["clean"]
    assert s3.path(layer).read_bytes() == layer.data()


def test_scrub_holds_to_its_rate(scrubbed):
    weir, _ = scrubbed
    weir.stop()
    began = time.monotonic()
    tiers.verb(weir, "scrub", "--rate", "0")
    free = time.monotonic() - began
    began = time.monotonic()
    tiers.verb(weir, "scrub", "--rate", "4MB")
    # 4 MB on the disk and 4 MB in S3, at once or one after the other. The lower bound is the promise.
    assert 1.0 <= time.monotonic() - began <= 3 * (free + 2)


def test_files_that_no_row_knows_are_taken_away_when_they_are_old(scrubbed, maker):
    weir, layer = scrubbed
    stray = tiers.file_of(weir, layer).with_name(layer.digest[7:] + ".999999")
    stray.write_bytes(b"x" * 1000)
    assert scrub(weir)["orphans"] == 0, "it may be in the making"
    assert stray.exists()


def test_scrub_with_s3_away_says_what_it_could_not_check(scrubbed, faults):
    weir, _ = scrubbed
    faults.mode("refuse")
    report = scrub(weir, status=1)
    assert report["unchecked"] == 3 and report["s3"]["bad"] == 0 and report["disk"]["bad"] == 0
    faults.heal()
    assert scrub(weir)["clean"]
