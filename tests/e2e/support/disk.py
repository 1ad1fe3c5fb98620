"""Disks that fail: a small one that is full, and one whose calls fail while a test wants it so."""

import contextlib
import errno
import os
import pathlib
import shutil

from .proc import run

SOURCE = pathlib.Path(__file__).with_name("bad_disk.c")
CONTROL_BYTES = 4096


class SmallDisk:
    """A file system in memory, mounted where weir's state is to be."""

    def __init__(self, place, size):
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True)
        run(["mount", "-t", "tmpfs", "-o", f"size={size}", "weir-test", self.place])
        self._ballast = self.place / "ballast"

    def fill(self):
        """To the last byte."""
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as file:
            while file.write(bytes(1 << 20)):
                pass
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self):
        self._ballast.unlink()

    def stop(self):
        run(["umount", "--lazy", self.place])


class BadDisk:
    """The library that makes calls of one process fail; `env` is for the process."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        library = self.folder / "bad_disk.so"
        compiler = shutil.which("clang-19") or "cc"
        run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE])
        self._control = self.folder / "control"
        self._control.write_bytes(bytes(CONTROL_BYTES))
        self.env = {"LD_PRELOAD": str(library), "BAD_DISK": str(self._control)}

    def _write(self, at, data):
        with open(self._control, "r+b") as file:
            os.pwrite(file.fileno(), data, at)

    def fail(self, *paths, reads=0, writes=errno.EIO):
        """From now on, for files whose path begins with one of these."""
        self._write(2, b"".join(str(path).encode() + b"\0" for path in paths) + b"\0")
        self._write(0, bytes([reads, writes]))

    def heal(self):
        self._write(0, bytes(2))
