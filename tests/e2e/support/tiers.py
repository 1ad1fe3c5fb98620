"""What lies where: the disk tier's files, the rows that wait, and weir's verbs."""

import collections
import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess
import threading

from . import wire
from .proc import ROOT, eventually, files_below
from .weir import BINARY

VERB_SECONDS = 60


class Verb:
    """One run of `weir NAME CONFIG ...`."""

    def __init__(self, weir, name, *args, json_wanted=True, env=None):
        words = ["--config" if name in ("pin", "unpin") else "", weir.config_path, *args,
                 "--json" if json_wanted else ""]
        argv = [str(BINARY), name, *(str(word) for word in words if word)]
        environment = {**os.environ, "NO_PROXY": "127.0.0.0/8,localhost", "HOME": str(weir.folder), **weir.env,
                       **(env or {})}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=VERB_SECONDS, stdin=subprocess.DEVNULL,
                              env=environment, check=False)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def told(self):
        assert self.out, f"status {self.status}, nothing said: {self.err[-2000:]}"
        return json.loads(self.out)


def verb(weir, name, *args, status=0):
    """What the verb says with --json, after it ended as expected."""
    done = Verb(weir, name, *args)
    assert done.status == status, (done.status, done.out[-2000:], done.err[-2000:])
    return done.told()


# --- the disk ---

def disk_stats(weir):
    """Path and stat of the blobs' files, whole or in the making. One that goes meanwhile is not there."""
    found = {}
    for folder in ("blobs", "staging"):
        for path in files_below(weir.state / folder):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat()
    return found


def disk_files(weir):
    """Path and bytes of the blobs on the disk, whole or in the making; holes don't count."""
    return {path: min(told.st_size, told.st_blocks * 512) for path, told in disk_stats(weir).items()}


def disk_bytes(weir):
    return sum(disk_files(weir).values())


def allocated(weir):
    """Bytes that these files take of the disk, in whole file-system blocks."""
    return sum(told.st_blocks * 512 for told in disk_stats(weir).values())


def bytes_at_one_time(weir):
    """Bytes that were on the disk at one moment: of files that were there before it and after it. One look alone may
    count a file that goes and the one that comes in its place. Names carry the generation; a commit only renames."""
    def look():
        return {path.name.rpartition("-")[2]: size for path, size in disk_files(weir).items()}
    before, after = look(), look()
    return sum(min(before[name], after[name]) for name in before.keys() & after.keys())


def file_of(weir, blob):
    """The file of a blob (or digest) on the disk, or None."""
    algorithm, value = getattr(blob, "digest", blob).split(":")
    found = list((weir.state / "blobs" / algorithm / value[:2]).glob(value + ".*"))
    return found[0] if found else None


def wipe_disk(weir):
    """What a lost or replaced disk leaves: the metadata without any blob."""
    assert not weir.process.alive()
    for path in disk_files(weir):
        path.unlink()


def flip_byte(path, at):
    """The file's times stay: nothing but the byte tells."""
    times = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


# --- the metadata ---

def rows(weir, question, *values):
    """Rows of weir's metadata, read beside it."""
    with contextlib.closing(sqlite3.connect(f"file:{weir.state / 'weir.db'}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(question, values).fetchall()


Counted = collections.namedtuple("Counted", "disk staging")


def counted(weir):
    """Bytes that weir counts as taken: of whole blobs, and of those in the making. One row, so both at one time."""
    return Counted(*rows(weir, "SELECT disk_bytes, staging_bytes FROM counters")[0])


def change(weir, statement, *values):
    """Writes into weir's metadata, as a weir that was killed has left it."""
    with contextlib.closing(sqlite3.connect(weir.state / "weir.db", timeout=10)) as db, db:
        db.execute(statement, values)


def waiting(weir):
    """Objects whose upload is not done."""
    return rows(weir, "SELECT count(*) FROM uploads")[0][0]


def settled(weir, seconds=30.0):
    """Waits until what clients were given is stored: a client has its last byte a moment before the row is there."""
    if weir.process.alive():
        eventually(lambda: b"\nweir_fetches_running 0\n" in wire.ask(weir, "/metrics").body and not stray_files(weir),
                   seconds, lambda: f"the end of the fetches; files without a row: {stray_files(weir)}")


def drained(weir, seconds=30.0):
    """Waits until everything that is stored is in S3 too."""
    settled(weir, seconds)
    # A verb beside the server may have taken a row away whose object the server is still putting.
    idle = lambda: not weir.process.alive() or b"\nweir_uploads_running 0\n" in wire.ask(weir, "/metrics").body
    eventually(lambda: waiting(weir) == 0 and idle(), seconds, lambda: f"the end of {waiting(weir)} uploads")


def digest_key(digest):
    """meta's key: a byte for the algorithm, then the sum."""
    algorithm, value = digest.split(":")
    return bytes([{"sha256": 0, "sha512": 1}[algorithm]]) + bytes.fromhex(value)


def stray_files(weir):
    """Files of blobs that no row knows: what nothing but a scrub would ever find."""
    known = {(bytes(digest)[1:].hex(), generation)
             for digest, generation in rows(weir, "SELECT digest, generation FROM blobs WHERE on_disk = 1")}
    known |= {(bytes(digest)[1:].hex(), generation)
              for digest, generation in rows(weir, "SELECT digest, generation FROM staging")}
    strays = []
    for path in disk_files(weir):
        value, _, generation = path.name.rpartition(".")
        if (value.rpartition("-")[2], int(generation) if generation.isdigit() else -1) not in known:
            strays.append(path)
    return strays


class Watch:
    """Samples the disk tier from another thread, from the moment it is made until stop()."""

    def __init__(self, weir):
        self.weir, self.most, self.samples = weir, 0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._end.wait(0.02):
            self.most = max(self.most, bytes_at_one_time(self.weir))
            self.samples += 1

    def stop(self):
        self._end.set()
        self._thread.join()
        return self.most


def fill_metadata():
    """The program that makes the metadata of a full cache; built with the unit tests."""
    beside = pathlib.Path(BINARY).resolve().parent
    for folder in (beside, *sorted((ROOT / "build").glob("*"))):
        found = folder / "tests/support/fill_metadata"
        if found.exists():
            return found
    raise AssertionError("fill_metadata is not built; ./dev test builds it with the unit tests")
