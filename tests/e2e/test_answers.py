"""What an upstream answers for one repository, purpose or host is said of that one: the others are as they were."""

import json

import pytest
from support import clients, wire
from support.proc import eventually

POLICY = json.dumps({"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": "it has 3 vulnerabilities"}]})


def manifest(repository, reference="v1"):
    return f"/v2/docker.io/{repository}/manifests/{reference}"


@pytest.fixture
def open_front(new_front):
    """An upstream that wants no token."""
    return new_front(auth=None)


# --- row 2: a challenge belongs to what was asked

CHALLENGES = {
    "basic": 'Basic realm="portal"',
    "a-token-server-that-gives-strangers-nothing": 'Bearer realm="{url}/v2/nothing",service="s"',
    "a-realm-that-is-gone": 'Bearer realm="https://127.0.0.1:1/token",service="s"',
    "a-forbidden-realm": 'Bearer realm="https://169.254.169.254/token",service="s"',
}


@pytest.mark.parametrize("challenge", CHALLENGES.values(), ids=CHALLENGES)
def test_a_private_repository_leaves_the_public_ones_pullable(open_front, new_weir, multi, challenge):
    front, weir = open_front, new_weir(open_front)
    front.rule({"name": "lab/private"}, status=401, headers={"WWW-Authenticate": challenge.format(url=front.url)})
    for number in range(6):
        assert wire.ask(weir, manifest("lab/private", f"v{number}")).status >= 400
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest


def test_what_a_portal_wanted_once_is_forgotten(open_front, new_weir, multi):
    weir = new_weir(open_front)
    open_front.rule({}, status=401, headers={"WWW-Authenticate": 'Basic realm="portal"'})
    assert wire.ask(weir, manifest("lab/multi")).status >= 400
    open_front.heal()
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest


def test_a_hold_off_ends_with_a_reload(open_front, new_weir, multi):
    weir = new_weir(open_front, weir={"missTimeout": "2s"})
    open_front.rule({}, status=429, headers={"Retry-After": "300"})
    assert wire.ask(weir, manifest("lab/multi")).status == 429
    open_front.heal()
    assert wire.ask(weir, manifest("lab/multi")).status == 429
    weir.reload()
    eventually(lambda: wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest, say="the reload")


# --- row 3, kind 1: of whom an answer speaks

@pytest.mark.parametrize("status,told", [(400, 400), (405, 400), (406, 400), (410, 404), (412, 403), (414, 400), (451, 403)])
def test_an_image_that_is_refused_is_asked_for_once_and_takes_no_other_away(front, weir, multi, status, told):
    front.rule({"name": "lab/blocked"}, status=status, body=POLICY)
    for number in range(6):
        front.forget()
        answer = wire.ask(weir, manifest("lab/blocked", f"v{number}"))
        assert answer.status == told
        assert b"3 vulnerabilities" in answer.body
        assert len(front.requests(kind="manifest")) == 1
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429, "headers": {"Retry-After": "60"}}, {"drop": True},
                                   {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>"}],
                         ids=["500", "429", "drops", "web-page"])
def test_a_repository_that_fails_takes_no_other_away(front, new_weir, multi, fault):
    weir = new_weir(front, weir={"missTimeout": "3s"})
    front.rule({"name": "lab/sick"}, **fault)
    for number in range(8):
        assert wire.ask(weir, manifest("lab/sick", f"v{number}")).status >= 400
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest


def test_page_sizes_that_are_refused_cost_nobody_a_pull(front, weir, multi):
    front.rule({"kind": "tags", "target": "n="}, status=400,
               body=json.dumps({"errors": [{"code": "PAGINATION_NUMBER_INVALID", "message": "invalid"}]}))
    for number in range(3):
        for query in ("n=x", "n=100000"):
            answer = wire.ask(weir, f"/v2/docker.io/lab/multi/tags/list?{query}&last={number}")
            assert answer.status == 200 or 400 <= answer.status < 500, answer.status
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest


def test_odd_page_sizes_at_a_real_registry_cost_nobody_a_pull(front, weir, multi):
    for query in ("n=x", "n=-1", "n=0", "n=99999999999999999999"):
        for _ in range(3):
            answer = wire.ask(weir, f"/v2/docker.io/lab/multi/tags/list?{query}")
            assert answer.status == 200 or 400 <= answer.status < 500, (query, answer.status)
    wire.pull(weir, "docker.io/lab/multi", "v1")


@pytest.mark.parametrize("client", [clients.Skopeo, clients.Crane])
def test_a_client_reads_why_an_image_is_refused_and_pulls_the_next(client, front, weir, multi):
    client = client()
    front.rule({"name": "lab/blocked"}, status=412, body=POLICY)
    try:
        for _ in range(3):
            with pytest.raises(AssertionError, match="3 vulnerabilities|DENIED|denied|403"):
                client.pull(weir, "lab/blocked", "v1", multi)
        client.pull(weir, "lab/multi", "v1", multi)
    finally:
        client.stop()


def test_a_registry_that_redirects_to_a_dead_host_still_gives_its_manifests(front, weir, multi):
    layer = multi.platform().layers[0]
    front.rule({"kind": "blob"}, redirect="https://localhost:1/x")
    for _ in range(3):
        answer = wire.ask(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}")
        assert answer.status in (502, 504)
        assert "localhost:1" in answer.body.decode(), "the host that is to blame is named"
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest
    front.heal()
    assert wire.fetch(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}").digest == layer.digest


# --- kind 5: signing in on the way

def test_the_registry_that_a_vanity_name_leads_to_is_signed_in_to(new_front, new_weir, multi):
    real = new_front(host="localhost")
    vanity = new_front(auth=None)
    vanity.rule({"kind": "manifest"}, redirect=real.url + "/v2/{name}/manifests/v1")
    vanity.rule({"kind": "blob"}, redirect=real.url + "/v2/{name}/blobs/{digest}")
    weir = new_weir(vanity)
    assert wire.ask(weir, manifest("lab/multi")).digest == multi.top.digest
    layer = multi.platform().layers[0]
    assert wire.fetch(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}").digest == layer.digest
    assert len(real.requests(kind="token")) == 1


# --- kind 4: an absent field

def test_a_head_without_length_is_never_told_as_zero(front, weir, multi):
    front.rule({"kind": "manifest", "method": "HEAD"}, strip=["content-length"])
    answer = wire.ask(weir, manifest("lab/multi"), method="HEAD")
    assert answer.status == 200
    assert answer.headers.get("content-length") == str(multi.top.size)


# --- kind 9: what the client takes is asked for

def test_the_upstream_hears_what_the_client_takes_and_the_cache_does_not_care(front, weir, multi):
    wire.ask(weir, manifest("lab/multi"), headers={"Accept": "application/vnd.new.thing+json, */*"})
    accept = front.requests(kind="manifest")[0].headers["accept"]
    assert accept.endswith(", application/vnd.new.thing+json, */*;q=0.1"), accept
    front.forget()
    assert wire.ask(weir, manifest("lab/multi"), headers={"Accept": "application/json"}).digest == multi.top.digest
    assert not front.requests(kind="manifest")


# --- kind 10: mirrors that lie

@pytest.mark.parametrize("liars", [1, 2])
def test_the_honest_mirror_behind_liars_is_asked(new_front, new_weir, multi, liars):
    fronts = [new_front() for _ in range(liars + 1)]
    for front in fronts[:-1]:
        front.rule({"kind": "manifest"}, status=200, body='{"schemaVersion":2,"manifests":[]}',
                   headers={"Content-Type": "application/vnd.oci.image.index.v1+json"})
    weir = new_weir(*fronts)
    assert wire.ask(weir, manifest("lab/multi", multi.top.digest)).digest == multi.top.digest
