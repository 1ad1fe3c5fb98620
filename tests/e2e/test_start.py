"""Start to ready takes no longer with a million blobs than with none."""

import os
import random
import sqlite3
import statistics
import time

import pytest

REPOSITORIES = 100_000
BLOBS = 1_000_000


def rows():
    """Random rows of the sizes that real ones have; seeded, so that every run has the same database."""
    numbers = random.Random(7)
    for _ in range(BLOBS):
        yield numbers.randbytes(32)


def fill(database):
    now = int(time.time() * 1e6)
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        db.executemany("INSERT INTO repositories (id, name) VALUES (?, ?)",
                       ((number, f"up/org{number % 977}/repo{number}") for number in range(1, REPOSITORIES + 1)))
        # meta's key of a digest: a byte for the algorithm (sha256), then the sum.
        digests = [b"\0" + digest for digest in rows()]
        db.executemany("INSERT INTO blobs (digest, size, generation, created, accessed, upstream) VALUES (?, ?, ?, ?, ?, 'up')",
                       ((digest, 1000 + number, number + 1, now, now) for number, digest in enumerate(digests)))
        db.executemany("INSERT INTO links (repository, digest) VALUES (?, ?)",
                       ((number % REPOSITORIES + 1, digest) for number, digest in enumerate(digests)))
        db.executemany("INSERT INTO tags (repository, name, digest, checked, upstream) VALUES (?, 'v1', ?, ?, 'up')",
                       ((number, digests[number], now) for number in range(1, REPOSITORIES + 1)))
        db.execute("UPDATE counters SET generation = ?", (BLOBS + 2,))
    db.close()


@pytest.mark.deadline(600)
def test_a_million_blobs_cost_no_time_at_the_start(new_weir, front):
    empty = new_weir(front)
    empty.stop()
    full = new_weir(front)
    full.stop()
    database = next(path for path in full.state.rglob("*") if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3")
    fill(database)
    assert os.path.getsize(database) > 100e6
    os.sync()      # or the starts wait for what was just written
    # From exec to ready, in seconds, by turns; the page cache is warm after the first.
    small, large = [], []
    for _ in range(7):
        for weir, taken in ((empty, small), (full, large)):
            weir.start()
            taken.append(weir.ready_seconds)
            weir.stop()
    assert statistics.median(large) <= 2 * statistics.median(small) + 0.01, (large, small)
