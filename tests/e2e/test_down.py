"""A hit never waits for an upstream, whatever the upstream does; a miss gets an honest error in time."""

import statistics

import pytest
from support import pace, wire
from support.proc import eventually

FAILURES = {
    "refuses": lambda front: front.mode("refuse"),
    "accepts-and-is-silent": lambda front: front.mode("silent"),
    "never-answers": lambda front: front.rule({}, hang=True),
    "429": lambda front: front.rule({}, status=429, headers={"Retry-After": "60"}),
    "500": lambda front: front.rule({}, status=500),
    "503": lambda front: front.rule({}, status=503),
    "401": lambda front: front.rule({}, status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
    "403": lambda front: front.rule({}, status=403),
    "drops-connections": lambda front: front.rule({}, drop=True),
}


MISS = 2                 # seconds that a miss may take, where a test says so
DEFAULT_MISS = 10


@pytest.fixture(params=FAILURES.values(), ids=FAILURES)
def fail(request):
    return request.param


@pytest.fixture
def warm(front, new_weir, multi):
    """A weir that has lab/multi:v1 for linux/amd64, and for which no tag is ever fresh."""
    weir = new_weir(front, weir={"freshness": {"ttl": "1ms"}, "missTimeout": f"{MISS}s"})
    wire.pull(weir, "docker.io/lab/multi", "v1")
    return weir


def times(weir, path, count=7):
    taken = []
    for _ in range(count):
        answer = wire.ask(weir, path)
        assert answer.status == 200, (path, answer.status, answer.body[:300])
        taken.append(answer.seconds)
    return taken


def test_cached_tag_digest_and_blob_are_served_at_once_while_the_upstream_fails(fail, warm, front, multi):
    platform = multi.platform()
    paths = [f"/v2/docker.io/lab/multi/{path}"
             for path in ("manifests/v1", f"manifests/{platform.manifest.digest}", f"blobs/{platform.layers[0].digest}")]
    healthy = {path: statistics.median(times(warm, path)) for path in paths}
    fail(front)
    for path in paths:
        taken = times(warm, path)
        assert statistics.median(taken) <= 3 * healthy[path] + 0.050, (path, taken, healthy[path])


def test_a_miss_gets_an_oci_error_within_the_time_that_is_configured(fail, warm, front, multi):
    fail(front)
    other = multi.platform("linux/arm64")
    for path in ("lab/multi/manifests/other", "lab/never-seen/manifests/v1", f"lab/multi/manifests/{other.manifest.digest}",
                 f"lab/multi/blobs/{other.layers[0].digest}"):
        began = pace.begin()
        answer = wire.ask(warm, f"/v2/docker.io/{path}")
        assert pace.in_time(began, 2 * MISS), path
        assert answer.status >= 400 and answer.status != 401, (path, answer.status)
        codes = answer.error_codes()
        assert "MANIFEST_UNKNOWN" not in codes and "BLOB_UNKNOWN" not in codes, \
            f"{path}: no answer from the upstream was told as if it did not exist"
        assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.deadline(60)
def test_by_default_a_miss_on_a_silent_upstream_ends_within_10_seconds(front, weir):
    front.mode("silent")
    began = pace.begin()
    answer = wire.ask(weir, "/v2/docker.io/lab/nothing/manifests/v1")
    assert pace.in_time(began, 1.2 * DEFAULT_MISS)
    assert answer.status >= 500 and answer.error_codes()


def test_a_failing_upstream_never_takes_a_cached_tag_away(fail, warm, front, multi):
    fail(front)
    for _ in range(3):
        assert wire.ask(warm, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest
    warm.restart()
    assert wire.ask(warm, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest
    front.heal()
    assert wire.ask(warm, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest


def test_a_stale_answer_says_so(warm, front):
    front.mode("refuse")
    answers = [wire.ask(warm, "/v2/docker.io/lab/multi/manifests/v1") for _ in range(2)]
    assert answers[-1].headers["x-cache"] == "stale"
    assert answers[-1].headers["warning"].startswith("299 ")


def test_a_429_on_a_miss_is_told_as_429_or_503_with_retry_after(warm, front):
    front.rule({}, status=429, headers={"Retry-After": "7"})
    answer = wire.ask(warm, "/v2/docker.io/lab/unknown/manifests/v1")
    assert answer.status in (429, 503)
    assert int(answer.headers["retry-after"]) <= 7
    assert answer.error_codes() == ["TOOMANYREQUESTS"]


def test_a_missing_image_is_a_404_and_is_remembered_for_a_moment(front, weir):
    for _ in range(3):
        answer = wire.ask(weir, "/v2/docker.io/lab/nope/manifests/v1")
        assert (answer.status, answer.error_codes()) == (404, ["MANIFEST_UNKNOWN"])
    assert len(front.requests(kind="manifest")) == 1


def test_a_missing_image_that_appears_is_found_after_the_negative_time(front, new_weir, registry, maker):
    weir = new_weir(front, weir={"freshness": {"negativeTtl": "200ms"}})
    path = "/v2/docker.io/lab/appears/manifests/v1"
    assert wire.ask(weir, path).status == 404
    image = registry.push("lab/appears", "v1", maker.single())
    answer = eventually(lambda: (a := wire.ask(weir, path)).status == 200 and a, say="the new image")
    assert answer.digest == image.top.digest


def test_one_head_goes_upstream_behind_many_stale_answers(warm, front):
    front.forget()
    front.rule({}, hang=True)
    began = pace.begin()
    taken = [wire.ask(warm, "/v2/docker.io/lab/multi/manifests/v1").seconds for _ in range(20)]
    front.wait_for(lambda log: any(a.kind == "manifest" for a in log), say="the revalidation")
    assert [a.method for a in front.requests(kind="manifest")] == ["HEAD"]
    # Whoever waited for it would have waited for missTimeout.
    assert statistics.median(taken) <= MISS / 10 and pace.in_time(began, 0.75 * MISS, max(taken)), taken


def test_a_moved_tag_is_noticed_behind_the_answer(front, warm, registry, maker):
    old = registry.push("lab/moves", "v1", maker.single())
    path = "/v2/docker.io/lab/moves/manifests/v1"
    assert wire.ask(warm, path).digest == old.top.digest
    new = registry.push("lab/moves", "v1", maker.single())
    assert wire.ask(warm, path).digest == old.top.digest, "the answer waited for the upstream"
    eventually(lambda: wire.ask(warm, path).digest == new.top.digest, say="the new manifest")


def test_a_fresh_tag_is_answered_without_any_request(front, weir, multi):
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    front.forget()
    for _ in range(5):
        assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest
    assert not front.requests()


def test_an_immutable_tag_is_never_asked_again(front, new_weir, multi):
    weir = new_weir(front, weir={"freshness": {"ttl": "1ms", "immutable": ["v[0-9]+"]}})
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    front.forget()
    for _ in range(5):
        assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").headers["x-cache"] != "stale"
    assert not front.requests()


def test_offline_mode_serves_what_is_there_and_dials_nobody(front, new_weir, multi):
    weir = new_weir(front)
    wire.pull(weir, "docker.io/lab/multi", "v1")
    weir.config["weir"]["upstreams"] = {"default": {"offline": True}}
    weir.restart()
    front.forget()
    wire.pull(weir, "docker.io/lab/multi", "v1")
    answer = wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v2")
    assert answer.status >= 400 and answer.error_codes()
    assert not front.requests()


def test_a_broken_upstream_is_not_asked_for_every_miss(front, warm):
    """The breaker opens: after some failures misses are answered without a new attempt."""
    front.rule({}, status=500)
    tried = [wire.ask(warm, f"/v2/docker.io/lab/many/manifests/v{number}").seconds for number in range(10)]
    front.forget()
    taken = [wire.ask(warm, f"/v2/docker.io/lab/many/manifests/w{number}").seconds for number in range(10)]
    assert len(front.requests(kind="manifest")) <= 3
    # Who is among the first waits for the retries.
    assert statistics.median(taken) <= max(tried) / 2, (taken, tried)
