"""Networks of the tests' own: namespaces with no way out, whatever network the machine has.

Their TCP is the plainest: a machine that is set to BBR paces even its loopback by timers, which makes rates come in two
kinds and costs a server in a virtual machine half as much again. Reno is the one that every namespace may choose.
"""

import contextlib
import ctypes
import os
import pathlib

from .proc import run

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
UPSTREAM = "192.0.2.10"       # TEST-NET-1: an ordinary address as far as anybody can tell
OTHER = "192.0.2.20"
INSIDE = "10.20.30.40"        # of a private network
CONGESTION = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")     # of the reader's namespace


def enter_own_network():
    """The calling thread, and every thread, process and socket it makes, is in a new namespace from here on."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if user else 0)) != 0:
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    if user:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    run(["ip", "link", "set", "lo", "up"])
    with contextlib.suppress(OSError):      # a container whose /proc/sys is read-only keeps its machine's
        CONGESTION.write_text("reno")


@contextlib.contextmanager
def own_network():
    """In a network with addresses that are not loopback, for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        try:
            enter_own_network()
            for address in (UPSTREAM, OTHER, INSIDE):
                run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
            yield
        finally:
            if libc.setns(before.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))
