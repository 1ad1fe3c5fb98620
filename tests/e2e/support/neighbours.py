"""A weir between an honest and an evil upstream, attackers, and what is measured of the others meanwhile."""

import collections
import contextlib
import itertools
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

from . import attackers, wire
from .neighbour_images import BIG, image
from .proc import Process
from .weir import Weir, configuration, registry_entry

HERE = pathlib.Path(__file__).resolve().parent.parent
MB = 1_000_000


class Server:
    def __init__(self, folder, role):
        ready = folder / role
        self.process = Process([sys.executable, "-m", "support.neighbour_server", role, ready], folder / f"{role}.log", cwd=HERE)
        self.process.wait_until(ready.exists, say=f"the {role} server")
        self.port = int(ready.read_text())
        self.url, self.authority = f"http://127.0.0.1:{self.port}", None


class Nameless:
    """An upstream whose name nobody answers for."""
    url, authority = "http://gone.answers.lab:5000", None


class Companion:
    """A process that is spoken to by lines: it leaves when it is told so, or with its parent."""

    def __init__(self, *argv):
        words = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", *map(str, argv)]
        self.process = subprocess.Popen(words, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# What was seen of everybody else for a while. `hot` is by target: seconds of each request. `withheld`: so long the machine let
# the one of weir's threads wait that it let wait the longest.
Seen = collections.namedtuple("Seen", "hot errors through direct failed rss withheld")


class World:
    """`prefix` comes before weir's command; `stored` blobs of 30 MB are on its disk, which holds `bound` bytes."""

    def __init__(self, folder, good, evil, still, prefix=(), stored=0, bound=None, **own):
        entry = {"tlsVerify": False, "maxRetries": 0, "retryDelay": "100ms"}
        cache = {"minFree": "1MB", **({"maxBytes": bound} if bound else {})}
        config = configuration(registry_entry(good, **entry), registry_entry(evil, destination="/evil", **entry),
                               registry_entry(Nameless, destination="/gone", **entry), weir={"cache": cache, **own})
        self.weir = Weir(folder, config, prefix=prefix)
        self.good = good
        self.numbers = {"calm": itertools.count(1000), "attacked": iter(attackers.CLAIMED), "direct": itertools.count(3000)}
        self.stored = [f"/v2/docker.io/big/{n}/blobs/{image(n, BIG).layer_digest}" for n in range(stored)]
        for path in self.stored:
            assert wire.drain(self.weir, path) == BIG
        wire.pull(self.weir, "docker.io/lab/0", "v1")
        self.probe = Companion("support.probe", self.weir.port, still.port)
        self.rss = self.weir.rss()

    def pull(self, kind):
        """Seconds of a cold pull."""
        number = next(self.numbers[kind])
        if kind == "direct":
            return wire.pull(self.good, f"lab/{number}", "v1")[0]
        return wire.pull(self.weir, f"docker.io/lab/{number}", "v1")[0]

    def look(self, seconds, kind="calm"):
        """Measures for at least so long: two pulls through weir, one directly, and so on; the hot ones beside it."""
        self.probe.ask("forget")
        before = self.waited()
        until = time.monotonic() + seconds
        through, direct, failed = [], [], []
        while (time.monotonic() < until or not direct) and len(failed) < 5:
            for how, into in ((kind, through), (kind, through), ("direct", direct)):
                try:
                    into.append(self.pull(how))
                except (AssertionError, OSError, ValueError) as error:
                    failed.append(f"{how}: {error!r:.200}")
        told = self.probe.ask("tell")
        withheld = max((waited - before.get(thread, waited) for thread, waited in self.waited().items()), default=0.0)
        return Seen(told["seconds"], told["errors"], through, direct, failed, self.weir.rss(), withheld)

    def waited(self):
        """Seconds that each thread of weir's was ready to run and had no processor, as the kernel counts them."""
        found = {}
        for path in pathlib.Path(f"/proc/{self.weir.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                found[path.parent.name] = int(path.read_text().split()[1]) / 1e9
        return found

    @contextlib.contextmanager
    def under(self, name):
        attack = Companion("support.attackers", name, self.weir.port)
        try:
            assert attack.process.stdout.readline() == "in place\n", f"{name} did not begin"
            yield
        finally:
            attack.end()

    def under_way(self):
        """What runs or waits for upstreams, by the metrics' names."""
        page = wire.ask(self.weir, "/metrics", timeout=20).body.decode()
        found = re.findall(r"^(weir_(?:fetches|relays|upstream_requests)_(?:running|waiting)(?:\{[^}]*\})?) (\S+)$", page, re.M)
        return {name: float(value) for name, value in found if float(value)}

    def lost(self):
        """What was stored and is not any more."""
        kept = [wire.ask(self.weir, path, headers={"Range": "bytes=0-9"}).headers.get("x-cache") for path in self.stored]
        return [f"{kept.count('hit_disk')} of {len(kept)} blobs are left"] if set(kept) - {"hit_disk"} else []

    def on_disk(self):
        return sum(path.stat().st_blocks * 512 for path in self.weir.stored())

    def peak(self):
        text = pathlib.Path(f"/proc/{self.weir.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+)", text, re.M)[1]) * 1024

    def end(self):
        self.probe.end()
        self.weir.kill()


def p99(seconds):
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def median(seconds):
    return statistics.median(seconds) if seconds else float("inf")


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"
