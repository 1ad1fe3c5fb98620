"""The token dance with an upstream, as upstreams really do it."""

import json

import pytest
from support import wire
from support.proc import eventually

MANIFEST = "/v2/docker.io/lab/multi/manifests/v1"


def test_one_token_serves_a_whole_pull_and_many_clients(front, weir, multi):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: wire.pull(weir, "docker.io/lab/multi", "v1"), range(8)))
    assert len(front.requests(kind="token")) == 1


def test_the_scope_is_the_upstreams_name_not_the_clients(front, weir, multi):
    wire.ask(weir, MANIFEST)
    assert [asked.query["scope"] for asked in front.requests(kind="token")] == ["repository:lab/multi:pull"]


def test_a_token_that_is_refused_is_dropped_once_and_asked_anew(front, weir, multi):
    wire.ask(weir, MANIFEST)
    front.revoke_tokens()
    assert wire.ask(weir, f"/v2/docker.io/lab/multi/manifests/{multi.platform().manifest.digest}").status == 200
    assert len(front.requests(kind="token")) == 2


def test_a_short_lived_token_is_renewed(new_front, new_weir, multi):
    front = new_front(auth={"life": 2})
    weir = new_weir(front, weir={"freshness": {"ttl": "0s"}})
    wire.ask(weir, MANIFEST)
    eventually(lambda: wire.ask(weir, MANIFEST) and len(front.requests(kind="token")) >= 2, say="a new token")
    assert wire.ask(weir, f"/v2/docker.io/lab/multi/manifests/{multi.platform().manifest.digest}").status == 200


@pytest.mark.parametrize("challenge", [
    'Bearer realm="{url}/token",service="weir-test",scope="repository:{name}:pull"',
    'bearer  realm="{url}/token" , service="weir, test" , scope="repository:{name}:pull,push"',
    'Basic realm="a, \\"quoted\\" one", Bearer realm="{url}/token",service="weir-test",scope="repository:{name}:pull"',
    'Negotiate, Bearer scope="repository:{name}:pull",realm="{url}/token"',
    'Bearer realm={url}/token,service=weir-test',
], ids=["plain", "blanks-and-commas", "basic-first", "negotiate-first", "unquoted-without-scope"])
def test_challenges_of_every_kind_are_understood(new_front, new_weir, multi, challenge):
    front = new_front(auth={"challenge": challenge})
    assert wire.ask(new_weir(front), MANIFEST).digest == multi.top.digest


@pytest.mark.parametrize("auth", [{"token_key": "access_token"}, {"say_expiry": False}], ids=["access_token", "no-expires_in"])
def test_token_answers_of_every_kind_are_understood(new_front, new_weir, multi, auth):
    assert wire.ask(new_weir(new_front(auth=auth)), MANIFEST).digest == multi.top.digest


@pytest.fixture(params=["bearer", "basic"])
def private(request, new_front):
    auth = {"users": {"robot": "word", "org2": "word2"}, "closed": True}
    if request.param == "basic":
        auth["scheme"] = "basic"
    return new_front(auth=auth)


def test_zots_credentials_file_is_used_and_reloaded(private, new_weir, tmp_path, multi):
    secrets = tmp_path / "credentials.json"
    secrets.write_text(json.dumps({private.authority_name: {"username": "robot", "password": "wrong"}}))
    weir = new_weir(private, sync={"credentialsFile": str(secrets)}, weir={"reload": {"interval": "100ms"},
                                                                          "freshness": {"negativeTtl": "100ms"}})
    assert wire.ask(weir, MANIFEST).status >= 400
    fresh = secrets.with_suffix(".new")
    fresh.write_text(json.dumps({private.authority_name: {"username": "robot", "password": "word"}}))
    fresh.rename(secrets)
    answer = eventually(lambda: (a := wire.ask(weir, MANIFEST)).status == 200 and a, say="the new credentials")
    assert answer.digest == multi.top.digest


def test_dockers_config_file_is_used(private, new_weir, tmp_path, multi):
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {private.authority_name: {"auth": "cm9ib3Q6d29yZA=="}}}))
    weir = new_weir(private, env={"DOCKER_CONFIG": str(folder)})
    assert wire.ask(weir, MANIFEST).digest == multi.top.digest


def test_credentials_by_repository_prefix(private, new_weir, registry, maker):
    registry.push("org2/app", "v1", maker.single())
    weir = new_weir(private, weir={"upstreams": {"default": {"credentials": [
        {"repositories": "lab/**", "username": "robot", "password": "word"},
        {"repositories": "org2/**", "username": "org2", "password": "word2"}]}}})
    for repository in ("lab/multi", "org2/app"):
        assert wire.ask(weir, f"/v2/docker.io/{repository}/manifests/v1").status == 200
    given = {a.headers["authorization"] for a in private.requests() if a.headers.get("authorization", "").startswith("Basic")}
    assert len(given) == 2, "one login was used for both"


def test_a_client_credential_that_nobody_asked_for_is_ignored_and_not_passed_on(front, weir, multi):
    for given in ("Basic Og==", "Basic bWU6c2VjcmV0", "Bearer something"):
        answer = wire.ask(weir, MANIFEST, headers={"Authorization": given})
        assert answer.digest == multi.top.digest
    assert all(a.headers.get("authorization", "") not in ("Basic Og==", "Basic bWU6c2VjcmV0", "Bearer something")
               for a in front.requests())


def test_a_private_image_that_we_may_not_read_is_not_a_401_to_the_client(private, new_weir):
    answer = wire.ask(new_weir(private), MANIFEST)
    assert answer.status not in (200, 401)
    assert answer.error_codes()


def test_the_budget_of_the_upstream_is_shown(front, weir, multi):
    front.settings(headers={"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "37;w=21600"})
    wire.ask(weir, MANIFEST)
    metrics = wire.ask(weir, "/metrics").body.decode()
    values = [line.rsplit(" ", 1)[1] for line in metrics.splitlines() if "remaining" in line and not line.startswith("#")]
    assert "37" in values, metrics
