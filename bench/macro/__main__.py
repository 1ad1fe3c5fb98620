"""./dev bench: weir beside nginx (the same bytes as static files) and docker-registry, one worker each, in one run.

Servers take turns within each round, so that what else the machine does falls on all of them alike; the figures are
medians over the rounds. Only ratios are judged. All run in a network of their own (support/network.py).
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from support import network, wire
from support.certs import Authority
from support.front import Front
from support.images import MB, Maker
from support.proc import rss_bytes
from support.registry import Registry

from . import eviction, load
from .servers import DockerRegistry, Nginx, OneLoopWeir


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--only", metavar="WORD", default="", help="only the loads whose name has it")
    return parser.parse_args()


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
        self.figures, self.verdicts, self.servers = {}, [], []

    def keep(self, server):
        self.servers.append(server)
        return server

    def close(self):
        for server in reversed(self.servers):
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        say("preparing: a registry, an image with a layer of 100 MB, nginx and weir")
        self.authority = Authority(self.folder / "authority")
        self.registry = self.keep(Registry(self.folder / "registry"))
        self.maker = Maker(self.folder / "images")
        self.image = self.registry.push("lab/bench", "v1", self.maker.single((100 * MB, 8_000)))
        self.front = self.keep(Front(self.folder / "front", self.registry, self.authority, tls=False, auth=None, files=True))
        self.nginx = self.keep(Nginx(self.folder / "nginx", self.image, self.authority))
        self.weir = self.keep(OneLoopWeir(self.folder / "weir", self.front, self.authority))
        self.weir_tls = self.keep(OneLoopWeir(self.folder / "weir-tls", self.front, self.authority, tls=True))
        self.docker = DockerRegistry(self.registry)
        for server, tls in ((self.weir, False), (self.weir_tls, True)):
            wire.pull(server.url(tls), server.path("")[4:-1], "v1")
        for blob in self.image.platforms[0].layers:
            self.nginx.serve(blob.digest, self.weir.stored(blob.digest))

    def measure(self, name, what, connections, servers, tls=False, headers=(), rounds=1):
        """{server: {figure: median over the rounds}}; `rounds`: so many times the usual number, where single ones differ much."""
        if self.options.only not in name:
            return None
        say(name)
        seen = {server.name: [] for server in servers}
        for server in servers:
            load.wrk(self.folder, server, what, connections, 1, tls, headers)
        for _ in range(rounds * self.options.rounds):
            for server in servers:
                seen[server.name].append(load.wrk(self.folder, server, what, connections, self.options.seconds, tls, headers))
        medians = {server: {key: statistics.median(r[key] for r in results) for key in results[0]}
                   for server, results in seen.items()}
        self.figures[name] = medians
        for server, m in medians.items():
            print(f"  {server:16} {m['rate']:9.0f} req/s {m['cpu_us_per_request']:9.1f} us/req {m['mb_per_s']:7.0f} MB/s "
                  f"{m['cpu_s_per_gib']:7.3f} s/GiB   p50 {m['p50_ms']:7.2f}  p99 {m['p99_ms']:7.2f} ms  cpu {m['cpu_share']:4.2f}"
                  + (f"  {m['errors']:.0f} errors" if m["errors"] else ""), flush=True)
        return medians

    def judge(self, what, value, bound, at_most=True, unit="x"):
        good = value <= bound if at_most else value >= bound
        self.verdicts.append({"what": what, "value": value, "bound": bound, "at_most": at_most, "unit": unit, "pass": good})

    def ratios(self, label, medians, *bounds):
        """bounds: (figure, bound, at most?)"""
        if not medians:
            return
        for figure, bound, at_most in bounds:
            nginx, weir = medians["nginx"][figure], medians["weir"][figure]
            self.judge(f"{label}: {figure} against nginx", weir / max(nginx, 1e-9), bound, at_most)
        self.judge(f"{label}: errors", medians["weir"]["errors"], 0, unit="")

    def hot(self):
        layer, small = self.image.platforms[0].layers
        manifest = (("cpu_us_per_request", 0.8, True), ("rate", 1.2, False))
        three = [self.nginx, self.weir, self.docker]
        for label, what in (("hot manifest by digest", f"manifests/{self.image.top.digest}"), ("hot manifest by tag", "manifests/v1")):
            self.ratios(label, self.measure(f"{label}, 64 connections", what, 64, three), *manifest)
        self.measure("hot manifest, a connection a request", "manifests/v1", 64, three, headers=["Connection: close"])
        self.measure("hot 8 kB blob, 64 connections", f"blobs/{small.digest}", 64, three)
        blob = f"blobs/{layer.digest}"
        self.ratios("hot blob, plain", self.measure("hot blob, plain, 16 connections", blob, 16, three, rounds=3), ("cpu_s_per_gib", 1.1, True))
        self.ratios("hot blob, TLS", self.measure("hot blob, TLS, 16 connections", blob, 16, [self.nginx, self.weir_tls], tls=True),
                    ("cpu_s_per_gib", 1.1, True))

    def memory(self):
        if self.options.only not in "memory":
            return
        say("memory: 500 pulls of 100 MB blobs at once, half of them cold")
        cold = [self.registry.push(f"lab/cold{n}", "v1", self.maker.single((100 * MB,))) for n in range(10)]
        self.front.settings(rate=10 * MB)
        weir = self.keep(OneLoopWeir(self.folder / "weir-memory", self.front, self.authority))
        self.judge("idle RSS", rss_bytes(weir.pid) / 1e6, 25, unit="MB")
        self.front.settings(rate=0)
        wire.pull(weir.url(), weir.path("")[4:-1], "v1")
        self.front.settings(rate=10 * MB)
        paths = [weir.path(f"blobs/{self.image.platforms[0].layers[0].digest}")] * 250
        for number, image in enumerate(cold):
            paths += [f"/v2/docker.io/lab/cold{number}/blobs/{image.platforms[0].layers[0].digest}"] * 25
        downloads = load.Downloads(("127.0.0.1", weir.weir.port), paths)
        downloads.run(20)
        peak = peak_rss(weir.pid) / 1e6
        self.judge("pulls that failed", downloads.failed, 0, unit="")
        downloads.close()
        print(f"  {downloads.bytes / 1e9:.1f} GB read, {peak:.0f} MB at the peak")
        self.judge("RSS with 500 pulls", peak, 150, unit="MB")
        self.front.settings(rate=0)

    def evictions(self):
        if self.options.only not in "eviction":
            return
        say(f"eviction: {eviction.PULLS} pulls by Zipf's law, {eviction.COUNT} blobs ten times the disk tier")
        told = self.figures["eviction"] = eviction.run(self.folder / "weir-eviction")
        for name in ("LRU", "LFU", "weir", "bound"):
            print(f"  {name:6} {told[name][0]:7.3f} of the pulls {told[name][1]:7.3f} of the bytes", flush=True)
        self.judge("eviction: hits against plain LRU", told["weir"][0] / told["LRU"][0], 1.0, at_most=False)

    def report(self):
        say("verdicts")
        for v in self.verdicts:
            bound = f"{'<=' if v['at_most'] else '>='} {v['bound']}{v['unit']}"
            print(f"  {'pass' if v['pass'] else 'FAIL'}  {v['what']:55} {v['value']:9.2f}{v['unit']:3} {bound}")
        failed = sum(not v["pass"] for v in self.verdicts)
        if self.options.json:
            document = {"cores": os.cpu_count(), "rounds": self.options.rounds, "seconds": self.options.seconds,
                        "figures": self.figures, "verdicts": self.verdicts}
            pathlib.Path(self.options.json).write_text(json.dumps(document, indent=2) + "\n")
        print(f"\n{len(self.verdicts) - failed} passed, {failed} failed")
        return 1 if failed or not self.verdicts else 0


def peak_rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def say(text):
    print(f"\n== {text}", flush=True)


def main():
    options = arguments()
    network.enter_own_network()
    bench = Bench(options)
    try:
        bench.prepare()
        bench.hot()
        bench.memory()
        bench.evictions()
        return bench.report()
    finally:
        bench.close()


if __name__ == "__main__":
    sys.exit(main())
