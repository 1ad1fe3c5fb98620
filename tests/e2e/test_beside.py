"""Verbs beside a running server: it learns what they stored and removed, without a restart."""

import contextlib
import os
import re

import pytest
from support import tiers, wire
from support.images import MB
from support.proc import eventually
from support.s3 import driver

KEEP_V1 = {"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v1$"]}]}], "delay": "1ms"}


@pytest.fixture
def new_beside(new_weir, front, s3):
    """Makes a weir that collects only when it is told to, and then whatever isn't needed."""
    def make(**storage):
        return new_weir(front, storage={**driver(s3), "gcInterval": "24h", "gcDelay": "1ms", **storage},
                        weir={"gc": {"untaggedAge": "1ms"}, "freshness": {"ttl": "1h"}})
    return make


@pytest.fixture
def pulled(new_beside, registry, maker):
    """A server that has served two tags, and the tags' images."""
    images = {tag: registry.push("lab/beside", tag, maker.single((MB, 2 * MB))) for tag in ("v1", "v2")}
    weir = new_beside(retention=KEEP_V1)
    for tag in images:
        wire.pull(weir, "docker.io/lab/beside", tag)
    tiers.drained(weir)
    assert used(weir) == tiers.disk_bytes(weir) > 0
    return weir, images


def used(weir):
    """What the server counts as used of its disk."""
    page = wire.ask(weir, "/metrics").body.decode()
    return int(float(re.search(r"^weir_disk_used_bytes (\S+)$", page, re.MULTILINE).group(1)))


def erased_but_open(weir):
    """Files of blobs that are gone from the disk's folders and that the server still holds."""
    found = []
    for number in os.listdir(f"/proc/{weir.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            path = os.readlink(f"/proc/{weir.pid}/fd/{number}")
            if "/blobs/" in path and path.endswith(" (deleted)"):
                found.append(path)
    return found


def counted(weir):
    eventually(lambda: used(weir) == tiers.disk_bytes(weir),
               say=lambda: f"{used(weir)} bytes counted, {tiers.disk_bytes(weir)} there")


def test_what_gc_takes_counts_as_used_no_more(pulled):
    weir, images = pulled
    before = used(weir)
    assert tiers.verb(weir, "gc")["bytes"] == sum(blob.size for blob in images["v2"].platforms[0].blobs())
    counted(weir)
    assert used(weir) < before
    wire.pull(weir, "docker.io/lab/beside", "v2")
    tiers.settled(weir)
    counted(weir)
    assert used(weir) == before


def test_the_room_of_what_gc_takes_is_free_though_the_server_had_it_open(pulled):
    """An erased file takes its room until it is closed, and nobody asks the server for that blob again."""
    weir, images = pulled
    for layer in images["v2"].platforms[0].layers:
        wire.fetch(weir, f"/v2/docker.io/lab/beside/blobs/{layer.digest}")
    tiers.verb(weir, "gc")
    eventually(lambda: not erased_but_open(weir), say=lambda: f"the end of {erased_but_open(weir)}")


def test_what_scrub_drops_and_what_it_repairs_is_counted(pulled):
    weir, images = pulled
    before, layer = used(weir), images["v1"].platforms[0].layers[1]
    tiers.flip_byte(tiers.file_of(weir, layer), MB)
    tiers.verb(weir, "scrub", "--rate", "0", status=1)
    counted(weir)
    assert used(weir) == before - layer.size
    tiers.flip_byte(tiers.file_of(weir, images["v1"].platforms[0].layers[0]), 100)
    tiers.verb(weir, "scrub", "--rate", "0", "--repair", status=1)
    counted(weir)
    assert used(weir) == before - layer.size
    wire.pull(weir, "docker.io/lab/beside", "v1")
    tiers.settled(weir)
    counted(weir)
    assert used(weir) == before


def test_a_file_that_scrub_dropped_is_not_served_from_the_servers_open_one(pulled, front):
    """Neither while the blob is nowhere on the disk nor after it has been repaired."""
    weir, images = pulled
    layers = images["v1"].platforms[0].layers
    path = lambda layer: f"/v2/docker.io/lab/beside/blobs/{layer.digest}"
    for layer in layers:
        assert wire.fetch(weir, path(layer)).digest == layer.digest
        tiers.flip_byte(tiers.file_of(weir, layer), 100)
        assert wire.fetch(weir, path(layer)).digest != layer.digest, "the wrong file is open"
    front.mode("refuse")
    report = tiers.verb(weir, "scrub", "--rate", "0", status=1)
    assert report["disk"]["bad"] == 2
    assert wire.fetch(weir, path(layers[0])).digest == layers[0].digest
    tiers.verb(weir, "scrub", "--rate", "0", "--repair")
    for layer in layers:
        assert wire.fetch(weir, path(layer)).digest == layer.digest


def test_rebuild_is_refused_while_a_server_runs_and_changes_nothing(pulled, front):
    weir, images = pulled
    before = {path: path.stat().st_size for path in tiers.disk_files(weir)}
    for force in ((), ("--force",)):
        done = tiers.Verb(weir, "rebuild", *force)
        assert done.status == 2 and "in use by another weir" in done.err, done.err
    assert {path: path.stat().st_size for path in tiers.disk_files(weir)} == before
    assert tiers.rows(weir, "SELECT count(*) FROM tags") == [(2,)]
    front.mode("refuse")
    for tag in images:
        wire.pull(weir, "docker.io/lab/beside", tag)
