"""Eviction at full speed, which no pull may notice. What collection costs is in test_gc.py."""

import contextlib
import os
import sqlite3
import statistics

import pytest
from support import tiers, wire
from support.proc import eventually, run
from support.s3 import driver
from test_gc import layer_of, p99, path_of

ALL = bool(os.environ.get("WEIR_TEST_ALL"))
EVICTED = 100_000 if ALL else 20_000
SIZE = 1000


def fill_disk(weir, count):
    """So many blobs that are on the disk and in S3, without having pulled them."""
    for left in weir.state.glob("weir.db*"):
        left.unlink()
    run([tiers.fill_metadata(), weir.state / "weir.db", "--repositories", count // 50, "--blobs", count, "--in-s3", 1],
        seconds=200)
    with contextlib.closing(sqlite3.connect(weir.state / "weir.db")) as db:
        db.execute("UPDATE blobs SET on_disk = 1, size = ?", (SIZE,))
        db.commit()
        stored = db.execute("SELECT digest, generation FROM blobs").fetchall()
    for number in range(256):
        (weir.state / "blobs/sha256" / f"{number:02x}").mkdir(parents=True, exist_ok=True)
    for digest, generation in stored:
        value = digest[1:].hex()
        (weir.state / "blobs/sha256" / value[:2] / f"{value}.{generation}").write_bytes(bytes(SIZE))


@pytest.mark.deadline(600 if ALL else 180)
def test_pulls_are_not_slower_while_the_disk_is_emptied(new_weir, front, faults, registry, maker):
    image = registry.push("lab/evict-p99", "v1", maker.single((64_000,)))
    weir = new_weir(front, storage=driver(faults), weir={
        "freshness": {"ttl": "1h"},
        "cache": {"maxBytes": "50GB", "minFree": "1MB", "pins": [{"repositories": "*/lab/evict-p99"}]}})
    weir.stop()
    fill_disk(weir, EVICTED)
    weir.start()
    wire.pull(weir, "docker.io/lab/evict-p99", "v1")
    tiers.settled(weir)
    files = lambda: tiers.rows(weir, "SELECT count(*) FROM blobs WHERE on_disk = 1")[0][0]
    paths = ["/v2/docker.io/lab/evict-p99/manifests/v1", path_of("lab/evict-p99", layer_of(image))]
    p99(weir, paths, 200)
    idle = [p99(weir, paths, 200) for _ in range(7)]
    weir.config["weir"]["cache"]["maxBytes"] = "1MB"
    weir.reload()
    eventually(lambda: files() < EVICTED, 60, "the first blob's going")
    busy = []
    while files() > EVICTED // 20:
        busy.append(p99(weir, paths, 200))
    eventually(lambda: tiers.disk_bytes(weir) <= 1_000_000, 60, "the bound")
    assert len(busy) >= 3, "it was over too soon to be measured"
    idle += [p99(weir, paths, 200) for _ in range(7)]
    # The upper quartile: about the median on a quiet machine, and on another one it tells how loud it is.
    idle_ms, busy_ms = statistics.quantiles(idle, n=4)[2] * 1000, statistics.median(busy) * 1000
    assert busy_ms <= 1.2 * idle_ms + 1, f"{busy_ms:.2f} ms while evicting, {idle_ms:.2f} ms idle"
