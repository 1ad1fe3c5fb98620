"""A network of the test's own: a namespace with addresses that are not loopback, and no way out."""

import contextlib
import ctypes
import os

from .proc import run

CLONE_NEWNET = 0x40000000
UPSTREAM = "192.0.2.10"       # TEST-NET-1: an ordinary address as far as anybody can tell
OTHER = "192.0.2.20"


@contextlib.contextmanager
def own_network():
    """The calling thread, and every process and socket it makes, is in the new namespace meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
        try:
            run(["ip", "link", "set", "lo", "up"])
            for address in (UPSTREAM, OTHER):
                run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
            yield
        finally:
            if libc.setns(before.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))
