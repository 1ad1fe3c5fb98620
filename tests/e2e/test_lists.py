"""Tags, referrers and the catalogue: the upstream's word, remembered, and stale rather than nothing."""

import json
import re

import pytest
from support import pace, wire
from support.proc import eventually

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def tagged(registry, maker):
    image = maker.single((1000,))
    for number in range(25):
        registry.push("lab/tagged", f"v{number:02}", image)
    return [f"v{number:02}" for number in range(25)]


def test_tags_are_the_upstreams(weir, tagged):
    answer = wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list")
    assert answer.status == 200
    assert sorted(answer.json()["tags"]) == tagged
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_tags_come_in_pages_whose_links_lead_to_us(weir, front, tagged, absolute):
    """Debian's registry has no pages; the front gives three, with links as upstreams write them. weir follows them, and
    gives pages of its own."""
    host = front.url if absolute else ""
    pages = {"list$": (tagged[:10], "n=10&last=v09"), "last=v09": (tagged[10:20], "last=v19&n=10"), "last=v19": (tagged[20:], None)}
    for wanted, (tags, following) in pages.items():
        link = {"Link": f'<{host}/v2/lab/tagged/tags/list?{following}>; rel="next"'} if following else {}
        front.rule({"kind": "tags", "target": wanted}, status=200, headers=link,
                   body=json.dumps({"name": "lab/tagged", "tags": tags}))
    path, got = "/v2/docker.io/lab/tagged/tags/list?n=9", []
    for _ in range(5):
        answer = wire.ask(weir, path)
        assert answer.json()["name"] == "docker.io/lab/tagged" or answer.json()["name"].endswith("lab/tagged")
        got += answer.json()["tags"]
        link = answer.headers.get("link")
        if not link:
            break
        path = re.fullmatch(r'<([^>]+)>; ?rel="?next"?', link)[1]
        assert str(front.port) not in path
        path = "/" + path.split("/", 3)[3] if path.startswith("http") else path
        assert path.startswith("/v2/docker.io/lab/tagged/tags/list?"), path
    assert got == tagged


def test_tags_are_remembered_and_served_when_the_upstream_is_down(weir, front, tagged):
    wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list")
    asked = len(front.requests(kind="tags"))
    wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list")
    assert len(front.requests(kind="tags")) == asked
    front.mode("refuse")
    assert sorted(wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list").json()["tags"]) == tagged


def test_old_tag_lists_are_stale_rather_than_gone(new_weir, front, tagged):
    weir = new_weir(front, weir={"freshness": {"listTtl": "0s"}})
    wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list")
    front.mode("silent")
    began = pace.begin()
    answer = wire.ask(weir, "/v2/docker.io/lab/tagged/tags/list")
    assert sorted(answer.json()["tags"]) == tagged
    # The time that a miss may take is 10 s.
    assert pace.in_time(began, 5, answer.seconds)


def test_tags_of_a_missing_repository_are_a_404(weir):
    answer = wire.ask(weir, "/v2/docker.io/lab/no-such/tags/list")
    assert (answer.status, answer.error_codes()) == (404, ["NAME_UNKNOWN"])


def test_referrers_come_from_the_upstreams_api(weir, front, multi):
    listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "a" * 64, "size": 10,
         "artifactType": "application/x"}]})
    front.rule({"kind": "referrers"}, status=200, body=listed, headers={"Content-Type": INDEX})
    path = f"/v2/docker.io/lab/multi/referrers/{multi.top.digest}"
    answer = wire.ask(weir, path)
    assert (answer.status, answer.headers["content-type"]) == (200, INDEX)
    assert [m["digest"] for m in answer.json()["manifests"]] == ["sha256:" + "a" * 64]
    front.mode("refuse")
    assert wire.ask(weir, path).json() == answer.json()


def test_referrers_fall_back_to_the_tag_when_the_upstream_lacks_the_api(weir, front, registry, maker):
    image = registry.push("lab/signed", "v1", maker.single((2000,)))
    referrer = maker.single((500,), subject=image.top.descriptor(), artifactType="application/vnd.test.signature")
    registry.push("lab/signed", "referrer", referrer)
    listed = maker.json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [referrer.top.descriptor(
        artifactType="application/vnd.test.signature")]}, INDEX)
    registry.push_manifest("lab/signed", image.top.digest.replace(":", "-"), listed)
    answer = wire.ask(weir, f"/v2/docker.io/lab/signed/referrers/{image.top.digest}")
    assert (answer.status, answer.headers["content-type"]) == (200, INDEX)
    assert [m["digest"] for m in answer.json()["manifests"]] == [referrer.top.digest]


def test_referrers_of_an_image_without_any_are_an_empty_index(weir, multi):
    answer = wire.ask(weir, f"/v2/docker.io/lab/multi/referrers/{multi.top.digest}")
    assert answer.status == 200
    assert answer.json()["manifests"] == [] and answer.json()["mediaType"] == INDEX


def test_the_catalogue_lists_what_is_cached_in_pages(weir, multi, tagged):
    assert wire.ask(weir, "/v2/_catalog").json() == {"repositories": []}
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    wire.ask(weir, "/v2/docker.io/lab/tagged/manifests/v00")
    names = eventually(lambda: len(got := wire.ask(weir, "/v2/_catalog").json()["repositories"]) == 2 and got,
                       say="two repositories")
    assert names == sorted(names) and all("lab/" in name for name in names)
    page = wire.ask(weir, "/v2/_catalog?n=1")
    assert page.json()["repositories"] == names[:1]
    assert 'rel="next"' in page.headers["link"]
    assert wire.ask(weir, f"/v2/_catalog?n=10&last={names[0]}").json()["repositories"] == names[1:]


def test_signature_tags_that_are_missing_are_remembered_only_for_seconds(new_weir, front, registry, maker):
    weir = new_weir(front, weir={"freshness": {"negativeTtl": "1h", "signatureNegativeTtl": "300ms"}})
    image = registry.push("lab/cosigned", "v1", maker.single((2000,)))
    path = f"/v2/docker.io/lab/cosigned/manifests/{image.top.digest.replace(':', '-')}.sig"
    assert wire.ask(weir, path).status == 404
    registry.push("lab/cosigned", path.rsplit("/", 1)[1], maker.single((300,)))
    eventually(lambda: wire.ask(weir, path).status == 200, say="the fresh signature")
