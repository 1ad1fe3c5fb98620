"""Attacker x victim: what one client or one upstream does is not to be noticed by anybody else.

Each attack is made once, on a weir of its own between a good upstream (some way off: 40 ms, 4 MB/s) and an evil one. Before,
during and after it the same is measured of everybody else. What holds of each victim:

hot_manifest, hot_blob   no error, and p99 <= 3 x idle + 5 ms. What is idle is measured before the attack and, because the
                         machine may be busy with others, of a server that answers at once with a few bytes ("still")
                         meanwhile; the larger counts.
cold_pulls               of the good upstream: none fails, and their median is <= 1.2 x that before and after the attack. Direct
                         pulls are made between them: where those take longer than before, the machine does, and as much is allowed.
livez                    <= 100 ms; on a machine that is busy with others, and a quarter of the time for which one of weir's threads
                         was ready and had no processor, but half a second at most.
memory                   at no time more than 256 MB.
disk                     what was stored before is stored still, and all files together keep within cache.maxBytes (and a write-ahead
                         log of the database).
afterwards               within 10 s of the attack's end all of the above hold once more, no more than 160 MB are held, and
                         nothing is being fetched or waits.
"""

import socket
import time

import pytest
from support.neighbours import MB, Server, World, median, ms, p99

CALM, ATTACKED, AFTER = 1.2, 2.5, 0.5      # seconds at least
SETTLED = 10.0

WAL = 16 * MB

# What an attack's world has that others have not: `names`, a name server that never answers; `stored`, so many blobs of
# 30 MB; `bytes`, a bound of the disk; `weir`, keys of weir's own.
ATTACKS = {
    "memos": {}, "media_type": {}, "heavy_manifests": {"bytes": 100 * MB}, "manifest_readers": {}, "endless_answers": {},
    "list_flood": {}, "list_readers": {}, "rows": {"bytes": 50 * MB}, "left_behind": {}, "silence": {}, "drips": {},
    "poisoned_joins": {}, "silent_names": {"names": True, "weir": {"upstreams": {"default": {"connectTimeout": "1s"}}}}, "challenges": {}, "refusals": {}, "storm": {},
    "promises": {"bytes": 400 * MB, "stored": 10}, "relays": {"bytes": 6 * MB}, "many_ranges": {},
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neighbours")
    made = [Server(folder, role) for role in ("good", "evil", "still")]
    yield made
    for server in made:
        server.process.kill()


@pytest.fixture(scope="module")
def silent_names(tmp_path_factory):
    """What comes before weir's command so that it asks a name server that takes questions and never answers."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    mounts = " && ".join(f"mount --bind {folder}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        yield ["unshare", "--mount", "sh", "-c", mounts + ' && exec "$@"', "sh"]


class Ordeal:
    """One attack, and what was seen before, during and after it."""

    def __init__(self, name, world, bound):
        self.name, self.world, self.bound = name, world, bound
        self.before = world.look(CALM)
        with world.under(name):
            self.during = world.look(ATTACKED, "attacked")
        self.ended = time.monotonic()
        self.peak, self.lost, self.on_disk = world.peak(), world.lost(), world.on_disk()
        self.wrong_afterwards = self.settle()

    def settle(self):
        """Waits until all is as before; what was not, at the deadline."""
        while True:
            self.after = self.world.look(AFTER)
            wrong = [what for victim in ("hot_manifest", "hot_blob", "cold_pulls", "livez")
                     for what in VICTIMS[victim](self, self.after)]
            if self.after.rss > 160 * MB:
                wrong.append(f"{self.after.rss / MB:.0f} MB are held")
            wrong += [f"{name} is {value:.0f}" for name, value in self.world.under_way().items()]
            if not wrong or time.monotonic() - self.ended > SETTLED:
                return wrong


def hot(target):
    def judge(ordeal, seen):
        idle = max(p99(ordeal.before.hot[target]), p99(seen.hot["still"]))
        took = p99(seen.hot[target])
        if seen.errors[target]:
            yield f"{seen.errors[target]} of {len(seen.hot[target])} failed"
        if took > 3 * idle + 0.005:
            yield f"p99 {ms(took)}, before {ms(p99(ordeal.before.hot[target]))}, of still meanwhile {ms(p99(seen.hot['still']))}"
    return judge


def cold(ordeal, seen):
    yield from seen.failed
    calm = ordeal.before.through + (ordeal.after.through if seen is ordeal.during else [])
    slower = max(1.0, median(seen.direct) / median(ordeal.before.direct)) if seen.direct else 1.0
    if median(seen.through) > 1.2 * median(calm) * slower:
        yield f"a cold pull took {ms(median(seen.through))}, without {ms(median(calm))}; direct ones {slower:.2f} x as long"


def livez(ordeal, seen):
    worst = max(seen.hot["livez"])
    if seen.errors["livez"] or worst > 0.1 + min(seen.withheld / 4, 0.5):
        yield f"/livez took {ms(worst)}, {ms(seen.withheld)} were withheld, {seen.errors['livez']} failed"


def memory(ordeal, seen):
    if ordeal.peak > 256 * MB:
        yield f"{ordeal.peak / MB:.0f} MB at the most, {ordeal.world.rss / MB:.0f} MB before"


def disk(ordeal, seen):
    yield from ordeal.lost
    if ordeal.bound and ordeal.on_disk > ordeal.bound + WAL:
        yield f"{ordeal.on_disk / MB:.0f} MB are on a disk of {ordeal.bound / MB:.0f} MB"


def afterwards(ordeal, seen):
    yield from ordeal.wrong_afterwards


VICTIMS = {"hot_manifest": hot("manifest"), "hot_blob": hot("blob"), "cold_pulls": cold, "livez": livez, "memory": memory,
           "disk": disk, "afterwards": afterwards}


@pytest.fixture(scope="module", params=ATTACKS)
def ordeal(request, servers, silent_names, tmp_path_factory):
    more = ATTACKS[request.param]
    world = World(tmp_path_factory.mktemp(request.param) / "weir", *servers, prefix=silent_names if "names" in more else (),
                  stored=more.get("stored", 0), bound=more.get("bytes"), **more.get("weir", {}))
    yield Ordeal(request.param, world, more.get("bytes"))
    world.end()


@pytest.mark.deadline(180)
@pytest.mark.parametrize("victim", VICTIMS)
def test_nobodys_trouble_is_anybody_elses(ordeal, victim):
    wrong = list(VICTIMS[victim](ordeal, ordeal.during))
    assert not wrong, "; ".join(wrong)
