"""Time as the tests judge it: by what was configured, and by how late this machine is meanwhile.

No bound of a test is a number of seconds that some machine was measured to need. A time-out that a test configures is
held to a multiple of itself, and what the machine withholds from a thread that only sleeps is allowed on top of it.
"""

import threading
import time

NAP = 0.02
# What is waited for takes some steps, each of which may be as late as a sleeper.
STEPS = 10


class _Sleeper(threading.Thread):
    """Remembers when it woke, and how much later than it wanted."""

    def __init__(self):
        super().__init__(daemon=True)
        self.naps = []
        self.start()

    def run(self):
        while True:
            began = time.monotonic()
            time.sleep(NAP)
            self.naps.append((began, time.monotonic() - began - NAP))
            if len(self.naps) > 20_000:
                del self.naps[:10_000]


_sleeper = None


def late(since):
    """The most that a sleeper was late since then."""
    return max((overslept for began, overslept in list(_sleeper.naps) if began >= since), default=0.0)


def begin():
    """The time from which in_time() counts."""
    global _sleeper
    if not _sleeper:
        _sleeper = _Sleeper()
    return time.monotonic()


def in_time(began, configured, seconds=None):
    """Whether no more than `configured` has passed since begin(), or within `seconds`, on this machine."""
    took = time.monotonic() - began if seconds is None else seconds
    allowed = configured + STEPS * late(began)
    if took > allowed:
        print(f"took {took:.2f} s; {configured:.2f} s and {STEPS} x {late(began):.3f} s are allowed")
    return took <= allowed
