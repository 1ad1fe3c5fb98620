"""A bounded disk under pulls by Zipf's law: never over its limit, and no worse than plain LRU."""

import os

import pytest
from support import tiers, zipf
from support.images import MB
from support.weir import configuration, registry_entry

ALL = bool(os.environ.get("WEIR_TEST_ALL"))
# Limit of the disk, bytes and number of the blobs, pulls.
LIMIT, TOTAL, COUNT, PULLS = (1000 * MB, 10_000 * MB, 1000, 20_000) if ALL else (5 * MB, 50 * MB, 500, 3000)


@pytest.fixture
def library():
    made = zipf.Library(COUNT, TOTAL, largest=LIMIT // 5)
    yield made
    made.stop()


@pytest.mark.deadline(3600 if ALL else 120)
def test_a_zipf_trace_never_exceeds_the_disk_and_hits_at_least_as_often_as_lru(start_weir, library):
    weir = start_weir(configuration(registry_entry(library), weir={"cache": {"maxBytes": LIMIT, "minFree": "1MB"}}))
    pulls = zipf.trace(COUNT, PULLS)
    watch = tiers.Watch(weir)
    hits = zipf.pull_all(weir, library, pulls)
    assert watch.stop() <= LIMIT, f"{watch.most} bytes in one of {watch.samples} samples"
    assert watch.samples > 20
    ours, others = zipf.ratios(pulls, library.sizes, hits), zipf.compare(pulls, library.sizes, LIMIT)
    assert ours[0] >= others["LRU"][0], (ours, others)
    assert ours[0] <= others["bound"][0] + 1e-9, "better than can be: what was counted?"
