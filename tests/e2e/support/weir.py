"""weir as a process: its configuration, its ports, its logs, its death and its return."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

from .proc import ROOT, Process, files_below, rss_bytes

BINARY = pathlib.Path(os.environ.get("WEIR_BINARY", ROOT / "build/release/weir"))


def registry_entry(*fronts, destination="/up", **more):
    """One element of extensions.sync.registries; several fronts are mirrors of each other, in order."""
    entry = {"urls": [front.url for front in fronts], "onDemand": True, "tlsVerify": True,
             "content": [{"prefix": "**", "destination": destination}]}
    authority = next((front.authority for front in fronts if front.authority), None)
    if authority:
        entry["certDir"] = str(authority.cert_dir())
    entry.update(more)
    return entry


def configuration(*registries, http=None, weir=None, storage=None, sync=None, **top):
    """zot's shape, with our keys under "weir". docker.io is what destination /up serves."""
    own = {"log": {"format": "json"}, "hosts": {"docker.io": "up", "*.docker.io": "up"}}
    merge(own, weir or {})
    return {
        "http": {"address": "127.0.0.1", "port": "0", "compat": ["docker2s2"], **(http or {})},
        "log": {"level": "info"},
        "storage": {"rootDirectory": "", **(storage or {})},
        "extensions": {"sync": {"enable": True, "registries": list(registries), **(sync or {})}},
        "weir": own, **top,
    }


def merge(into, extra):
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


class Weir:
    def __init__(self, folder, config, env=None, args=(), prefix=(), start=True):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder / "state"
        if config is not None and config.get("storage", {}).get("rootDirectory") == "":
            config["storage"]["rootDirectory"] = str(self.state)
        self.config = config
        self.config_path = self.folder / "config.json"
        self.env, self.args, self.prefix = dict(env or {}), args, prefix
        self.process, self.port, self.starts = None, 0, 0
        self.ready_seconds = 0.0
        if start:
            self.start()

    def write_config(self):
        if self.config is not None:
            new = self.config_path.with_suffix(".new")
            new.write_text(json.dumps(self.config, indent=2))
            new.rename(self.config_path)

    def start(self, seconds=15.0):
        self.write_config()
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.starts += 1
        argv = [BINARY, "serve", *self.args, *([self.config_path] if self.config is not None else [])]
        # A proxy of the machine must not come between weir and the servers on loopback.
        env = {"NO_PROXY": "127.0.0.0/8,localhost", "HOME": str(self.folder), **self.env, "WEIR_READY_FILE": str(ready)}
        began = time.monotonic()
        self.process = Process(argv, self.folder / f"log.{self.starts}", env=env, prefix=self.prefix)
        self.process.wait_until(ready.exists, seconds, say="weir's ready file")
        self.ready_seconds = time.monotonic() - began
        told = json.loads(ready.read_text())
        self.port, self.pid = told["http"], told["pid"]
        return self

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        scheme = "https" if self.config and self.config.get("http", {}).get("tls") else "http"
        return f"{scheme}://{self.address}"

    def log(self):
        return "".join((self.folder / f"log.{n}").read_text(errors="replace") for n in range(1, self.starts + 1))

    def access(self, **wanted):
        """The access lines, as data."""
        lines = []
        for text in self.log().splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and "status" in line and all(line.get(k) == v for k, v in wanted.items()):
                    lines.append(line)
        return lines

    def rss(self):
        return rss_bytes(self.pid)

    def stored(self):
        """All files under the state directory, with their sizes."""
        found = {}
        for path in files_below(self.state):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_size
        return found

    def reload(self):
        self.write_config()
        self.process.send(signal.SIGHUP)

    def kill(self):
        self.process.kill()

    def stop(self, seconds=20.0):
        return self.process.stop(seconds)

    def end(self):
        """For the end of a test: a polite word, a second one for what still drains, then force."""
        for _ in range(2):
            if self.process.alive():
                self.process.send(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(2)
        self.kill()

    def restart(self):
        if self.process.alive():
            self.stop()
        return self.start()
