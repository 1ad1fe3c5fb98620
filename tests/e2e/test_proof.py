"""A repository serves what came through it, or what its upstream proves to have; a tag is believed until it is refuted."""

import hashlib
import json
import sqlite3

import pytest
from support import images, tiers, wire
from support.proc import eventually
from support.weir import configuration, registry_entry

LOGIN = {"users": {"robot": "word"}, "closed": True}


@pytest.fixture
def two(new_front, start_weir):
    """A registry that wants a login at /corp, another at /evil; both are kept by the same registry process."""
    def start(login=True):
        corp, evil = new_front(auth=LOGIN if login else True), new_front()
        entry = {"credentials": [{"username": "robot", "password": "word"}]} if login else {}
        config = configuration(registry_entry(corp, destination="/corp"), registry_entry(evil, destination="/evil"),
                               weir={"hosts": {"docker.io": "corp", "*.docker.io": "corp"}, "bareUpstream": "none",
                                     "upstreams": {"corp": entry}, "freshness": {"negativeTtl": "0s"}})
        return start_weir(config), corp, evil
    return start


def blobs(path, blob):
    return f"/v2/{path}/blobs/{blob.digest}"


def kinds(front, *words):
    return [(asked.method, asked.kind) for asked in front.requests() if asked.kind in (words or ("blob", "manifest"))]


def test_a_list_of_blobs_in_an_image_manifest_opens_nothing(front, weir, registry, maker):
    """Real registries take such a manifest: they do not look at that list."""
    owner = registry.push("corp/hidden", "v1", maker.single((100_000,)))
    layer = owner.platforms[0].layers[0]
    wire.pull(weir, "docker.io/corp/hidden", "v1")
    guest = maker.single((1000,))
    odd = json.loads(guest.top.data())
    odd["blobs"] = [layer.descriptor()]
    for blob in guest.platforms[0].blobs():
        registry.push_blob("guest/odd", blob)
    registry.push_manifest("guest/odd", "v1", maker.json(odd, images.OCI["manifest"]))
    assert wire.ask(weir, "/v2/docker.io/guest/odd/manifests/v1").status == 200
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-9"})):
        assert wire.ask(weir, blobs("docker.io/guest/odd", layer), method, headers=headers).status == 404


def test_an_upstream_that_only_says_yes_gets_nobody_what_came_with_a_login(two, registry, maker):
    image = registry.push("lab/secret", "v1", maker.single((100_000,)))
    weir, corp, evil = two()
    wire.pull(weir, "corp/lab/secret", "v1")
    layer, manifest = image.platforms[0].layers[0], image.top
    # Sizes, types and digests are told as they are; the bytes are not there.
    for kind in ("blob", "manifest"):
        evil.rule({"kind": kind, "method": "GET"}, status=404)
    for path in (f"blobs/{layer.digest}", f"manifests/{manifest.digest}", "manifests/v1"):
        wire.ask(weir, f"/v2/evil/lab/secret/{path}", "HEAD")
        answer = wire.ask(weir, f"/v2/evil/lab/secret/{path}")
        assert answer.status == 404, path
        assert layer.data()[:100] not in answer.body
    assert wire.ask(weir, blobs("evil/lab/secret", layer), headers={"Range": "bytes=0-9"}).status >= 400


def test_bytes_that_came_with_a_login_come_once_more_for_another_upstream_and_are_stored_once(two, registry, maker):
    image = registry.push("lab/both", "v1", maker.single((300_000,)))
    weir, corp, evil = two()
    wire.pull(weir, "corp/lab/both", "v1")
    stored = tiers.counted(weir).disk
    wire.pull(weir, "evil/lab/both", "v1")
    assert {asked.reference for asked in evil.blob_requests()} == {blob.digest for blob in image.platforms[0].blobs()}
    eventually(lambda: tiers.counted(weir).staging == 0, say="the end of the transfers")
    assert tiers.counted(weir).disk == stored
    evil.mode("refuse")
    wire.pull(weir, "evil/lab/both", "v1")


def test_a_shared_layer_costs_a_second_repository_one_head_each_and_then_nothing(front, weir, registry, maker):
    image = maker.single((300_000, 100_000))
    for name in ("lab/first", "lab/second"):
        registry.push(name, "v1", image)
    wire.pull(weir, "docker.io/lab/first", "v1")
    front.forget()
    wire.pull(weir, "docker.io/lab/second", "v1")
    assert sorted(kinds(front, "blob")) == [("HEAD", "blob")] * len(image.platforms[0].blobs())
    front.mode("refuse")
    wire.pull(weir, "docker.io/lab/second", "v1")
    wire.pull(weir, "docker.io/lab/first", "v1")


def test_what_is_here_through_another_repository_is_not_served_while_the_own_upstream_is_down(two, registry, maker):
    image = registry.push("lab/down", "v1", maker.single((100_000,)))
    weir, corp, evil = two(login=False)
    wire.pull(weir, "corp/lab/down", "v1")
    evil.mode("refuse")
    for path in (f"blobs/{image.platforms[0].layers[0].digest}", f"manifests/{image.top.digest}"):
        answer = wire.ask(weir, f"/v2/evil/lab/down/{path}")
        assert answer.status in (502, 504), path
        assert "BLOB_UNKNOWN" not in answer.error_codes() and "MANIFEST_UNKNOWN" not in answer.error_codes()


def test_an_upstream_can_not_tell_by_what_it_is_asked_whether_a_digest_is_here(two, registry, maker):
    image = registry.push("lab/known", "v1", maker.single((100_000,)))
    other = maker.single((100_000,))
    for login in (False, True):
        weir, corp, evil = two(login)
        wire.pull(weir, "corp/lab/known", "v1")
        for here, nowhere, kind in ((image.platforms[0].layers[0], other.platforms[0].layers[0], "blobs"),
                                    (image.top, other.top, "manifests")):
            asked = []
            for blob in (here, nowhere):
                evil.forget()
                assert wire.ask(weir, f"/v2/evil/lab/nothing/{kind}/{blob.digest}").status == 404
                asked.append(kinds(evil))
            assert asked[0] == asked[1]


def test_a_tag_whose_digest_is_gone_is_asked_for_anew(front, weir, registry, maker):
    path = "/v2/docker.io/lab/purged/manifests/"
    old = registry.push("lab/purged", "latest", maker.single((1000,)))
    assert wire.ask(weir, path + "latest", "HEAD").headers["docker-content-digest"] == old.top.digest
    new = registry.push("lab/purged", "latest", maker.single((1000,)))
    registry.delete_manifest("lab/purged", old.top.digest)
    # As containerd asks: the tag by HEAD, then its digest.
    assert wire.ask(weir, path + old.top.digest).status == 404
    assert wire.ask(weir, path + "latest", "HEAD").headers["docker-content-digest"] == new.top.digest
    assert wire.ask(weir, path + new.top.digest).digest == new.top.digest


def test_an_index_whose_child_is_gone_is_asked_for_anew(front, weir, registry, maker):
    path = "/v2/docker.io/lab/purged-index/manifests/"
    old = registry.push("lab/purged-index", "nightly", maker.multi_arch())
    assert wire.ask(weir, path + "nightly").digest == old.top.digest
    new = registry.push("lab/purged-index", "nightly", maker.multi_arch())
    gone = old.platform("linux/arm64").manifest.digest
    registry.delete_manifest("lab/purged-index", old.top.digest)
    registry.delete_manifest("lab/purged-index", gone)
    assert wire.ask(weir, path + gone).status == 404
    assert wire.ask(weir, path + "nightly").digest == new.top.digest


def test_a_head_without_a_length_is_followed_by_the_get(front, weir, registry, maker):
    image = registry.push("lab/lengthless", "v1", maker.single((1000,)))
    front.rule({"kind": "manifest", "method": "HEAD"}, strip=["content-length"])
    for reference in ("v1", image.top.digest):
        answer = wire.ask(weir, f"/v2/docker.io/lab/lengthless/manifests/{reference}", "HEAD")
        assert (answer.status, answer.headers["content-length"]) == (200, str(image.top.size))


def flip(weir, digest):
    """Changes one bit of a manifest in the database of a weir that is stopped."""
    with sqlite3.connect(weir.state / "weir.db") as db:
        key, data = next(row for row in db.execute("SELECT id, bytes FROM manifests")
                         if "sha256:" + hashlib.sha256(row[1]).hexdigest() == digest)
        db.execute("UPDATE manifests SET bytes = ? WHERE id = ?", (bytes([*data[:20], data[20] ^ 1, *data[21:]]), key))
    db.close()


def test_a_manifest_whose_bytes_the_disk_has_changed_is_never_served(front, weir, registry, maker):
    image = registry.push("lab/flipped", "v1", maker.single((1000,)))
    wire.pull(weir, "docker.io/lab/flipped", "v1")
    weir.stop()
    flip(weir, image.top.digest)
    front.mode("refuse")
    weir.start()
    for reference in ("v1", image.top.digest):
        answer = wire.ask(weir, f"/v2/docker.io/lab/flipped/manifests/{reference}")
        assert answer.status == 502, reference
    front.mode("accept")
    eventually(lambda: wire.ask(weir, f"/v2/docker.io/lab/flipped/manifests/{image.top.digest}").digest == image.top.digest,
               say="the manifest from its upstream")
    weir.stop()
    assert tiers.verb(weir, "scrub", "--rate", "0")["database"] == {"manifests": 1, "bad": 0}


def test_scrub_finds_and_repairs_a_manifest_in_the_database(front, weir, registry, maker):
    image = registry.push("lab/scrubbed", "v1", maker.single((1000,)))
    wire.pull(weir, "docker.io/lab/scrubbed", "v1")
    weir.stop()
    flip(weir, image.top.digest)
    found = tiers.verb(weir, "scrub", "--rate", "0", status=1)
    assert found["database"] == {"manifests": 1, "bad": 1} and not found["clean"]
    assert [(p["digest"], p["where"]) for p in found["problems"]] == [(image.top.digest, "database")]
    assert tiers.verb(weir, "scrub", "--rate", "0", "--repair", status=1)["repaired"] == 1
    assert tiers.verb(weir, "scrub", "--rate", "0")["clean"]
    front.mode("refuse")
    weir.start()
    wire.pull(weir, "docker.io/lab/scrubbed", "v1")


def test_a_second_signature_is_seen_within_seconds(front, weir, registry, maker):
    subject = registry.push("lab/signed", "v1", maker.single((1000,)))
    tag = subject.top.digest.replace(":", "-") + ".sig"
    for _ in range(2):
        signature = registry.push("lab/signed", tag, maker.single((500,)))
        path = f"/v2/docker.io/lab/signed/manifests/{tag}"
        eventually(lambda want=signature, path=path: wire.ask(weir, path).digest == want.top.digest, 10, say="the signature")
