"""Processes that are started, waited for by an event, and gone at the end whatever happens."""

import os
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
POLL = 0.005
# Of waits for what must come: it costs only where it does not. Below the deadline of a test.
PATIENCE = 45.0


class Late(AssertionError):
    """Something that was waited for did not happen in time."""


def eventually(what, seconds=PATIENCE, say="the event"):
    """Calls what() until it returns something true, and returns that. Fails at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > deadline:
            raise Late(f"{say() if callable(say) else say} did not come within {seconds} s")
        time.sleep(POLL)


def listening(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def free_port():
    """A port the kernel has just chosen. Only for servers that cannot be told to choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def files_below(folder):
    """The files there. A folder that vanishes meanwhile has none; pathlib's glob would raise."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield pathlib.Path(parent, name)


class Process:
    """One server. It is killed with its parent (setpriv), so an interrupted run leaves nothing behind."""

    def __init__(self, argv, log, env=None, cwd=None, prefix=()):
        self.argv = [str(word) for word in argv]
        self.log_path = pathlib.Path(log)
        self._log = open(self.log_path, "ab")
        environment = {**os.environ, **{k: str(v) for k, v in (env or {}).items()}}
        self._process = subprocess.Popen([*prefix, "setpriv", "--pdeathsig", "KILL", "--", *self.argv],
                                         stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                         env=environment, cwd=cwd)

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_until(self, what, seconds=PATIENCE, say="ready"):
        """Like eventually(), but fails at once, with the log's end, when the process has died."""
        def step():
            got = what()
            if not got and not self.alive():
                raise Late(f"{self.argv[0]} ended with {self._process.returncode}:\n{self.log()[-3000:]}")
            return got
        try:
            return eventually(step, seconds, say)
        except Late as late:
            if "ended with" in str(late):
                raise
            raise Late(f"{self.argv[0]}: {late}\n{self.log()[-3000:]}") from None

    def send(self, number):
        self._process.send_signal(number)

    def wait(self, seconds=15.0):
        return self._process.wait(seconds)

    def kill(self):
        if self.alive():
            self._process.kill()
        self._process.wait()
        self._log.close()

    def stop(self, seconds=10.0):
        """SIGTERM, then SIGKILL at the deadline. Returns the exit status."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        self._log.close()
        return status


def run(argv, env=None, seconds=60.0, check=True, cwd=None):
    """A command that ends by itself; its output is in the failure."""
    done = subprocess.run([str(word) for word in argv], env={**os.environ, **(env or {})}, cwd=cwd,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, text=True, errors="replace")
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
