"""Host, ns, prefix, destination, bare names: exactly one upstream each, and a closed world."""

import json

import pytest
from support import clients, wire
from support.weir import configuration, registry_entry


@pytest.fixture
def two(new_front, start_weir):
    """Two upstreams: docker.io is served by /hub, ghcr.io by /ghcr."""
    hub, ghcr = new_front(), new_front()
    weir = start_weir(configuration(
        registry_entry(hub, destination="/hub"), registry_entry(ghcr, destination="/ghcr"),
        weir={"hosts": {"docker.io": "hub", "*.docker.io": "hub", "ghcr.io": "ghcr"}}))
    weir.config["weir"]["hosts"].pop("up", None)
    return weir, hub, ghcr


def configured_hosts(weir):
    return weir.config["weir"]["hosts"]


WAYS = {
    "prefix": ("/v2/docker.io/lab/multi/manifests/v1", {}, "hub"),
    "prefix-of-an-alias": ("/v2/registry-1.docker.io/lab/multi/manifests/v1", {}, "hub"),
    "other-prefix": ("/v2/ghcr.io/lab/multi/manifests/v1", {}, "ghcr"),
    "ns": ("/v2/lab/multi/manifests/v1?ns=docker.io", {}, "hub"),
    "ns-in-capitals": ("/v2/lab/multi/manifests/v1?ns=GHCR.io", {}, "ghcr"),
    "ns-of-an-alias": ("/v2/lab/multi/manifests/v1?ns=index.docker.io", {}, "hub"),
    "ns-with-port": ("/v2/lab/multi/manifests/v1?ns=ghcr.io:443", {}, "ghcr"),
    "ns-encoded": ("/v2/lab/multi/manifests/v1?x=1&ns=ghcr%2Eio", {}, "ghcr"),
    "host": ("/v2/lab/multi/manifests/v1", {"Host": "ghcr.io"}, "ghcr"),
    "host-of-an-alias": ("/v2/lab/multi/manifests/v1", {"Host": "registry-1.docker.io"}, "hub"),
    "host-with-port": ("/v2/lab/multi/manifests/v1", {"Host": "ghcr.io:443"}, "ghcr"),
    "host-by-pattern": ("/v2/lab/multi/manifests/v1", {"Host": "anything.docker.io"}, "hub"),
    "zots-destination": ("/v2/ghcr/lab/multi/manifests/v1", {}, "ghcr"),
    "bare": ("/v2/lab/multi/manifests/v1", {}, "hub"),
    # Said twice, as mirrors with a path and rewrites do.
    "prefix-and-ns": ("/v2/ghcr.io/lab/multi/manifests/v1?ns=ghcr.io", {}, "ghcr"),
    "alias-and-ns": ("/v2/docker.io/lab/multi/manifests/v1?ns=registry-1.docker.io", {}, "hub"),
    "destination-and-ns": ("/v2/ghcr/lab/multi/manifests/v1?ns=ghcr.io", {}, "ghcr"),
    "destination-and-host": ("/v2/ghcr/lab/multi/manifests/v1", {"Host": "ghcr.io"}, "ghcr"),
    "before-v2": ("/ghcr.io/v2/lab/multi/manifests/v1", {}, "ghcr"),
    "before-v2-and-ns": ("/ghcr.io/v2/lab/multi/manifests/v1?ns=ghcr.io", {}, "ghcr"),
    "destination-before-v2": ("/ghcr/v2/lab/multi/manifests/v1", {}, "ghcr"),
    "doubled-slash": ("//v2/lab/multi/manifests/v1?ns=ghcr.io", {}, "ghcr"),
    "doubled-v2": ("/v2/v2/lab/multi/manifests/v1?ns=ghcr.io", {}, "ghcr"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_to_name_a_registry_leads_to_its_upstream_alone(two, multi, way):
    weir, hub, ghcr = two
    path, headers, wanted = way
    answer = wire.ask(weir, path, headers=headers)
    assert (answer.status, answer.digest) == (200, multi.top.digest), answer.body[:300]
    asked, other = (hub, ghcr) if wanted == "hub" else (ghcr, hub)
    assert asked.requests(kind="manifest") and not other.requests()
    assert all("ns" not in a.query for a in asked.requests()), "ns was passed on"
    layer = multi.platform().layers[0]
    blob = wire.fetch(weir, path.replace("manifests/v1", f"blobs/{layer.digest}"), headers)
    assert blob.digest == layer.digest
    assert not other.requests()


@pytest.mark.parametrize("path,headers", [
    ("/v2/lab/multi/manifests/v1?ns=quay.io", {}),
    ("/v2/quay.io/lab/multi/manifests/v1", {}),
    ("/v2/lab/multi/manifests/v1?ns=docker.io.evil.example", {}),
    ("/v2/lab/multi/blobs/sha256:" + "0" * 64 + "?ns=127.0.0.1:22", {}),
], ids=["ns", "prefix", "look-alike", "blob"])
def test_what_nobody_serves_is_a_404_with_an_oci_error_and_nobody_is_asked(two, path, headers):
    weir, hub, ghcr = two
    answer = wire.ask(weir, path, headers=headers)
    assert answer.status == 404
    assert answer.error_codes()[0] in ("NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN")
    assert not ghcr.requests()


def test_oci_namespace_is_returned_when_ns_was_used(two, multi):
    weir, _, _ = two
    with_ns = wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=ghcr.io")
    assert with_ns.headers["oci-namespace"] == "ghcr.io"
    assert "oci-namespace" not in wire.ask(weir, "/v2/ghcr.io/lab/multi/manifests/v1").headers


def test_without_hosts_the_names_follow_from_the_urls(front, start_weir, multi):
    config = configuration(registry_entry(front, destination="/"))
    del config["weir"]["hosts"]
    weir = start_weir(config)
    for path in (f"/v2/lab/multi/manifests/v1?ns={front.authority_name}", "/v2/lab/multi/manifests/v1"):
        assert wire.ask(weir, path).digest == multi.top.digest, path


def test_default_serves_hosts_that_nobody_knows_when_it_is_set_but_never_an_unknown_ns(front, start_weir, multi):
    config = configuration(registry_entry(front))
    config["weir"]["hosts"]["default"] = "up"
    weir = start_weir(config)
    answer = wire.ask(weir, "/v2/lab/multi/manifests/v1", headers={"Host": "registry.example"})
    assert answer.digest == multi.top.digest
    assert wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=registry.example").status == 404


def test_zots_content_mapping_with_strip_prefix(front, start_weir, multi):
    entry = registry_entry(front)
    entry["content"] = [{"prefix": "lab/**", "destination": "/tools", "stripPrefix": True}]
    weir = start_weir(configuration(entry, weir={"hosts": {"docker.io": "tools", "*.docker.io": "tools"}}))
    assert wire.ask(weir, "/v2/tools/multi/manifests/v1").digest == multi.top.digest


def test_content_filters_what_is_asked_on_demand(front, start_weir):
    entry = registry_entry(front)
    entry["content"] = [{"prefix": "public/**", "destination": "/up"}]
    weir = start_weir(configuration(entry))
    assert wire.ask(weir, "/v2/up/lab/multi/manifests/v1").status == 404
    assert not front.requests()


def test_one_part_names_of_docker_hub_stand_in_library(front, start_weir, registry, maker):
    image = registry.push("library/tool", "v1", maker.single())
    weir = start_weir(configuration(registry_entry(front)))
    for path in ("/v2/docker.io/library/tool", "/v2/library/tool"):
        assert wire.ask(weir, f"{path}/manifests/v1").digest == image.top.digest, path


def test_a_project_called_v2_is_within_reach(two, registry, maker):
    weir, _, ghcr = two
    project = registry.push("v2/tool", "v1", maker.single((5000,)))
    for path in ("/v2/v2/tool/manifests/v1?ns=ghcr.io", "/v2/ghcr.io/v2/tool/manifests/v1", "/ghcr.io/v2/v2/tool/manifests/v1"):
        answer = wire.ask(weir, path)
        assert (answer.status, answer.digest) == (200, project.top.digest), (path, answer.body[:300])
    nested = registry.push("v2/acme/tool", "v1", maker.single((5000,)))
    assert wire.ask(weir, "/v2/v2/acme/tool/manifests/v1?ns=ghcr.io").digest == nested.top.digest
    assert {asked.name for asked in ghcr.requests(kind="manifest")} >= {"v2/tool", "v2/acme/tool"}


@pytest.mark.parametrize("path", [
    "/v2/%76%32/lab/multi/manifests/v1?ns=ghcr.io", "/ghcr.io/%76%32/lab/multi/manifests/v1", "/ghcr%2Eio/v2/lab/multi/manifests/v1",
    "/ghcr.io/v2/lab/multi/manifests/v1?ns=docker.io", "/nonsense/v2/lab/multi/manifests/v1", "/quay.io/v2/lab/multi/manifests/v1",
])
def test_no_other_spelling_is_another_path_to_a_repository(two, multi, path):
    weir, hub, ghcr = two
    assert wire.ask(weir, path).status == 404
    assert not any(asked.name == "lab/multi" for front in (hub, ghcr) for asked in front.requests())


def test_strict_paths_leave_each_repository_one(new_front, start_weir, multi):
    ghcr = new_front()
    weir = start_weir(configuration(registry_entry(ghcr, destination="/ghcr"),
                                    weir={"hosts": {"docker.io": "ghcr", "*.docker.io": "ghcr", "ghcr.io": "ghcr"}, "paths": "strict"}))
    for path in ("/ghcr.io/v2/lab/multi/manifests/v1", "//v2/ghcr.io/lab/multi/manifests/v1", "/v2/v2/ghcr.io/lab/multi/manifests/v1",
                 "/v2/ghcr.io/lab/%6dulti/manifests/v1", "/v2/ghcr.io/lab/multi/manifests/v1?ns=ghcr.io"):
        assert wire.ask(weir, path).status == 404, path
    assert wire.ask(weir, "/v2/ghcr.io/lab/multi/manifests/v1").digest == multi.top.digest


def test_a_listing_goes_on_where_it_began(two):
    weir, _, ghcr = two
    ghcr.rule({"kind": "tags"}, status=200, headers={"Link": '</v2/lab/paged/tags/list?n=1&last=a>; rel="next"'},
              body=json.dumps({"name": "lab/paged", "tags": ["a"]}))
    answer = wire.ask(weir, "/ghcr.io/v2/lab/paged/tags/list?n=1")
    assert answer.json()["tags"] == ["a"], answer.body[:300]
    assert answer.headers["link"].startswith("</ghcr.io/v2/lab/paged/tags/list?"), answer.headers["link"]


@pytest.mark.deadline(240)
@pytest.mark.parametrize("path,override", [("/v2/docker.io", True), ("/v2/hub", True), ("/docker.io", False), ("/hub", False),
                                           ("/v2/docker.io", False), ("/v2", False), ("/some-name", False)])
def test_containerd_pulls_through_a_mirror_with_a_path(two, multi, path, override):
    """It sends ?ns= beside the path, whatever that is."""
    weir, hub, ghcr = two
    containerd = clients.Containerd(mirror_path=path, override=override)
    try:
        containerd.pull(weir, "lab/multi", "v1", multi)
    finally:
        containerd.stop()
    assert hub.requests(kind="manifest") and not ghcr.requests()
