"""Where weir must not go it does not go, and what is secret stays with whom it belongs to."""

import base64
import re

import pytest
from support import network, pace, wire
from support.front import Front
from support.proc import eventually
from support.registry import Registry
from support.weir import configuration, registry_entry

FORBIDDEN = {
    "link-local": "169.254.1.1",
    "metadata": "169.254.169.254",
    "metadata-as-a-number": "2852039166",
    "unspecified": "0.0.0.0",
    "ipv6-link-local": "[fe80::1]",
}


@pytest.fixture(params=FORBIDDEN.values(), ids=FORBIDDEN)
def forbidden(request):
    return request.param


def refused(weir, path, word):
    """The request fails in time, as an OCI error, and the log says clearly why."""
    began = pace.begin()
    answer = wire.ask(weir, path)
    assert answer.status >= 400, answer.status
    # Who tries waits for missTimeout, 10 s.
    assert pace.in_time(began, 8, answer.seconds), "it was tried"
    assert answer.error_codes()
    eventually(lambda: word in weir.log(), say=f"a log line about {word}")
    return answer


def test_a_token_realm_at_a_forbidden_address_is_refused(new_front, new_weir, forbidden):
    front = new_front(auth={"realm": f"https://{forbidden}/token"})
    refused(new_weir(front), "/v2/docker.io/lab/x/manifests/v1", forbidden.strip("[]"))


def test_a_redirect_to_a_forbidden_address_is_refused(front, weir, multi, forbidden):
    layer = multi.platform().layers[0]
    front.rule({"kind": "blob", "method": "GET"}, redirect=f"https://{forbidden}/blob/{{digest}}")
    refused(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}", forbidden.strip("[]"))


def test_a_mirror_at_a_forbidden_address_is_refused(front, start_weir, multi, forbidden):
    entry = registry_entry(front)
    entry["urls"] = [f"https://{forbidden}", front.url]
    weir = start_weir(configuration(entry))
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest
    told = re.search(r'^weir_upstream_requests_total\{.*outcome="forbidden".*\} (\S+)$', wire.ask(weir, "/metrics").body.decode(), re.M)
    assert told and float(told[1]) >= 1


@pytest.fixture
def elsewhere(tmp_path, authority, maker):
    """An upstream and a weir in a network where the upstream's address is not loopback, and its registry with one image."""
    with network.own_network():
        registry = Registry(tmp_path / "registry")
        image = registry.push("lab/multi", "v1", maker.single((100_000,)))
        front = Front(tmp_path / "front", registry, authority, address="0.0.0.0", host=network.UPSTREAM, cdn=True)
        yield front, image
        front.stop()
        registry.stop()


def test_loopback_is_refused_to_an_upstream_that_is_not_itself_there(elsewhere, start_weir):
    front, image = elsewhere
    weir = start_weir(configuration(registry_entry(front)))
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").digest == image.top.digest
    layer = image.platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET"}, redirect=f"https://127.0.0.1:{front.cdn_port}/cdn/v2/{{name}}/blobs/{{digest}}")
    refused(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}", f"127.0.0.1:{front.cdn_port}")
    assert not front.requests(listener="cdn")
    weir.stop()


def test_a_private_network_is_refused_to_an_upstream_that_is_not_itself_there(elsewhere, start_weir):
    front, image = elsewhere
    weir = start_weir(configuration(registry_entry(front)))
    layer = image.platforms[0].layers[0]
    inner = f"https://{network.INSIDE}:{front.cdn_port}/cdn/v2/{{name}}"
    front.rule({"kind": "blob", "method": "GET"}, redirect=f"{inner}/blobs/{{digest}}")
    refused(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}", f"{network.INSIDE} is a private address")
    front.rule({"kind": "manifest"}, redirect=f"{inner}/manifests/v1")
    assert refused(weir, "/v2/docker.io/lab/multi/manifests/v1", "private address").status == 502
    front.rule({"kind": "tags"}, redirect=f"{inner}/tags/list")
    refused(weir, "/v2/docker.io/lab/multi/tags/list", "private address")
    assert not front.requests(listener="cdn")
    weir.stop()


def test_a_private_realm_is_refused_to_an_upstream_that_is_not_itself_there(elsewhere, start_weir):
    front, _ = elsewhere
    front.settings(auth={"realm": f"https://{network.INSIDE}:{front.port}/token"})
    weir = start_weir(configuration(registry_entry(front)))
    refused(weir, "/v2/docker.io/lab/multi/manifests/v1", f"realm {network.INSIDE} is a private address")
    assert not front.requests(kind="token")
    weir.stop()


def test_a_loopback_realm_is_refused_to_an_upstream_that_is_not_itself_there(elsewhere, start_weir):
    front, _ = elsewhere
    front.settings(auth={"realm": f"https://127.0.0.1:{front.port}/token"})
    weir = start_weir(configuration(registry_entry(front)))
    refused(weir, "/v2/docker.io/lab/multi/manifests/v1", "realm 127.0.0.1 is a loopback address")
    assert not front.requests(kind="token")
    weir.stop()


@pytest.fixture
def with_cdn(new_front):
    front = new_front(cdn=True)
    front.rule({"kind": "blob", "method": "GET", "listener": "main"},
               redirect=front.cdn_url("localhost") + "/cdn/v2/{name}/blobs/{digest}")
    return front


def test_a_redirect_to_another_host_is_followed_without_the_token(with_cdn, new_weir, multi):
    weir = new_weir(with_cdn)
    layer = multi.platform().layers[0]
    assert wire.fetch(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}").digest == layer.digest
    asked = with_cdn.requests(listener="cdn")
    assert asked and all("authorization" not in a.headers for a in asked)


def test_ranges_and_resumption_work_over_a_redirect(with_cdn, new_weir, registry, maker):
    layer = registry.push("lab/cdn", "v1", maker.single((3_000_000,))).platforms[0].layers[0]
    with_cdn.rule({"kind": "blob", "listener": "cdn"}, cut_at=[0.4])
    weir = new_weir(with_cdn)
    assert wire.fetch(weir, f"/v2/docker.io/lab/cdn/blobs/{layer.digest}").digest == layer.digest


def test_credentials_are_not_sent_to_a_realm_on_another_host(new_front, new_weir, tmp_path):
    other = new_front()
    front = new_front(auth={"users": {"robot": "hunter2-secret"}, "closed": True,
                            "realm": f"https://localhost:{other.port}/token"})
    secrets = tmp_path / "credentials.json"
    secrets.write_text(f'{{"{front.authority_name}": {{"username": "robot", "password": "hunter2-secret"}}}}')
    weir = new_weir(front, sync={"credentialsFile": str(secrets)})
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").status >= 400
    assert all("authorization" not in a.headers for a in other.requests())
    assert "hunter2-secret" not in weir.log()


def test_no_secret_is_in_any_log_line(new_front, start_weir, tmp_path, multi):
    password = "pa55-worD-never-shown"
    front = new_front(auth={"users": {"robot": password}, "closed": True}, cdn=True)
    front.rule({"kind": "blob", "method": "GET", "listener": "main"},
               redirect=front.cdn_url("localhost") + "/cdn/v2/{name}/blobs/{digest}?signature=sIgNeD-url-secret&x=1")
    secrets = tmp_path / "credentials.json"
    secrets.write_text(f'{{"{front.authority_name}": {{"username": "robot", "password": "{password}"}}}}')
    config = configuration(registry_entry(front), sync={"credentialsFile": str(secrets)})
    config["log"]["level"] = "debug"
    weir = start_weir(config)
    client = {"Authorization": "Basic " + base64.b64encode(b"me:client-password-xyz").decode(), "Cookie": "session=c00kie-val"}
    wire.pull(weir, "docker.io/lab/multi", "v1", headers=client)
    front.mode("refuse", listener="cdn")
    wire.ask(weir, f"/v2/docker.io/lab/multi/blobs/{multi.platform('linux/arm64').layers[0].digest}", headers=client)
    front.settings(auth={"users": {"robot": "changed"}, "closed": True})
    front.revoke_tokens()
    wire.ask(weir, "/v2/docker.io/lab/private/manifests/v1?token=que5y-token", headers=client)

    tokens = [asked.token for asked in front.requests(kind="token") if asked.token]
    assert tokens, "no token was issued, the test shows nothing"
    hidden = [password, base64.b64encode(f"robot:{password}".encode()).decode(), *tokens, "sIgNeD-url-secret",
              "client-password-xyz", client["Authorization"].split()[1], "c00kie-val"]
    log, metrics = weir.log(), wire.ask(weir, "/metrics").body.decode()
    assert not [secret for secret in hidden if secret in log or secret in metrics]


def test_an_unknown_ns_is_never_dialled(weir, front):
    for ns in ("169.254.169.254", "localhost:1", front.authority_name.replace("127.0.0.1", "127.0.0.2"), "evil.example", "../x", ""):
        answer = wire.ask(weir, f"/v2/lab/multi/manifests/v1?ns={ns}")
        if ns:
            assert answer.status == 404 and answer.error_codes(), ns


@pytest.mark.parametrize("path", [
    "/v2/../../etc/passwd", "/v2/docker.io/lab/..%2f..%2fx/manifests/v1", "/v2/docker.io/lab/x/blobs/sha256:../../x",
    "/v2/docker.io/UPPER/manifests/v1", "/v2/docker.io/lab/x/manifests/" + "t" * 200, "/v2//manifests/v1",
    "/v2/docker.io/lab/x/blobs/sha256:" + "G" * 64, "/v2/docker.io/lab/x/blobs/md5:abcd", "/v2/docker.io/lab/x/manifests/v1%00"])
def test_a_path_that_is_no_name_is_refused_without_asking_anybody(weir, front, path):
    answer = wire.ask(weir, path)
    assert answer.status in (400, 404)
    assert answer.error_codes()
    assert not front.requests()
