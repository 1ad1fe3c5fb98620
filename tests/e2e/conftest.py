"""What every test may ask for. Registries and authorities live as long as the run; fronts and weirs as long as a test."""

import os
import signal
import sys

import pytest
from support import images, network
from support.certs import Authority
from support.front import Front
from support.proc import Process
from support.registry import Registry
from support.s3 import S3, Faults, MinIO
from support.weir import Weir, configuration, registry_entry

ALL = bool(os.environ.get("WEIR_TEST_ALL"))
# So many processes that only spin run beside the tests: what needs an idle machine shows itself.
BUSY = int(os.environ.get("WEIR_TEST_BUSY") or 0)


def pytest_sessionstart():
    network.enter_own_network()


@pytest.fixture(autouse=True)
def deadline(request):
    """No test hangs: the alarm raises in the test's own thread."""
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else 120

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", autouse=True)
def busy(tmp_path_factory):
    log = tmp_path_factory.mktemp("busy") / "log"
    spinning = [Process([sys.executable, "-c", "while True: pass"], log) for _ in range(BUSY)]
    yield
    for process in spinning:
        process.kill()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def maker(tmp_path_factory):
    return images.Maker(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def multi(registry, maker):
    """A small OCI index of four platforms at lab/multi:v1; its layers unpack."""
    return registry.push("lab/multi", "v1", maker.multi_arch())


@pytest.fixture(scope="session")
def docker_multi(registry, maker):
    """The same as a Docker schema 2 manifest list at lab/docker:v1."""
    return registry.push("lab/docker", "v1", maker.multi_arch(kinds=images.DOCKER))


@pytest.fixture
def new_front(tmp_path, registry, authority):
    """Makes upstreams: new_front(files=True, rate=..., auth=...)."""
    made = []

    def make(**more):
        front = Front(tmp_path / f"front{len(made)}", registry, authority, **more)
        made.append(front)
        return front
    yield make
    for front in made:
        front.stop()


@pytest.fixture
def front(new_front):
    """The usual upstream: TLS, tokens for everybody."""
    return new_front()


@pytest.fixture
def s3(tmp_path):
    """A bucket of the test's own."""
    server = S3(tmp_path / "s3")
    yield server
    server.stop()


@pytest.fixture(params=["versitygw", "minio"] if ALL else ["versitygw"])
def any_s3(tmp_path, request):
    """A bucket like s3's, of each server there is; stored_digest tells what is in it."""
    server = {"versitygw": S3, "minio": MinIO}[request.param](tmp_path / request.param)
    yield server
    server.stop()


@pytest.fixture
def faults(s3):
    """A proxy before it, with faults and a request log."""
    proxy = Faults(s3)
    yield proxy
    proxy.stop()


@pytest.fixture
def start_weir(tmp_path):
    """Starts weirs from a whole configuration: start_weir(config, env=...)."""
    made = []

    def start(config, **more):
        weir = Weir(tmp_path / f"weir{len(made)}", config, **more)
        made.append(weir)
        return weir
    yield start
    for weir in made:
        if weir.process:
            weir.end()


@pytest.fixture
def new_weir(start_weir):
    """Starts a weir over these upstreams: new_weir(front, mirror, weir={...}); /up and docker.io lead to them."""
    def start(*fronts, entry=None, env=None, **config):
        return start_weir(configuration(registry_entry(*fronts, **(entry or {})), **config), env=env)
    return start


@pytest.fixture
def weir(new_weir, front):
    return new_weir(front)
