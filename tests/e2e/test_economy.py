"""Nothing is fetched that is not needed, and nothing twice."""

from support import wire
from support.images import MB
from support.proc import eventually


def test_layers_known_from_another_tag_cost_nothing(front, weir, registry, maker):
    one = registry.push("lab/app", "v1", maker.single((2 * MB, MB)))
    shared = one.platforms[0].layers
    two = registry.push("lab/app", "v2", maker.single((300_000,), layers=shared))
    wire.pull(weir, "docker.io/lab/app", "v1")
    front.forget()
    wire.pull(weir, "docker.io/lab/app", "v2")
    assert {asked.reference for asked in front.blob_requests()} == {blob.digest for blob in two.platforms[0].blobs()} - \
        {layer.digest for layer in shared}


def test_layers_known_from_another_repository_cost_no_upstream_bytes(front, weir, registry, maker):
    image = maker.single((2 * MB, MB))
    registry.push("lab/here", "v1", image)
    registry.push("lab/there", "v1", image)
    wire.pull(weir, "docker.io/lab/here", "v1")
    front.forget()
    wire.pull(weir, "docker.io/lab/there", "v1")
    assert front.blob_bytes() == 0


def test_one_platform_of_an_index_of_four_downloads_only_its_own(front, weir, multi):
    wire.pull(weir, "docker.io/lab/multi", "v1", platform="linux/amd64")
    platform = multi.platform("linux/amd64")
    assert {asked.reference for asked in front.blob_requests()} == {blob.digest for blob in platform.blobs()}
    fetched = {asked.reference for asked in front.requests(kind="manifest", method="GET")}
    assert fetched == {"v1", platform.manifest.digest}


def test_a_blob_is_fetched_without_its_manifest_having_been_asked(front, weir, multi):
    layer = multi.platform().layers[0]
    assert wire.fetch(weir, f"/v2/docker.io/lab/multi/blobs/{layer.digest}").digest == layer.digest
    assert not front.requests(kind="manifest")


def test_head_never_downloads_a_body(front, weir, multi):
    layer = multi.platform().layers[0]
    for path, blob in ((f"blobs/{layer.digest}", layer), ("manifests/v1", multi.top),
                       (f"manifests/{multi.platform().manifest.digest}", multi.platform().manifest)):
        answer = wire.ask(weir, f"/v2/docker.io/lab/multi/{path}", "HEAD")
        assert answer.status == 200
        assert answer.headers["content-length"] == str(blob.size)
        assert answer.headers["docker-content-digest"] == blob.digest
    assert front.blob_bytes() == 0
    assert all(asked.method == "HEAD" for asked in front.requests(kind="blob"))


def test_head_and_get_say_the_same(weir, multi):
    layer = multi.platform().layers[0]
    for path in ("manifests/v1", f"blobs/{layer.digest}"):
        get = wire.ask(weir, f"/v2/docker.io/lab/multi/{path}")
        head = wire.ask(weir, f"/v2/docker.io/lab/multi/{path}", "HEAD")
        for name in ("content-type", "content-length", "docker-content-digest"):
            assert get.headers[name] == head.headers[name], (path, name)
        assert head.body == b""


def test_bytes_digest_and_media_type_are_the_upstreams_whatever_the_client_accepts(weir, multi, docker_multi):
    for repository, image in (("lab/multi", multi), ("lab/docker", docker_multi)):
        for accept in (None, "*/*", image.top.media_type, wire.ACCEPT, "application/json", "text/html;q=0.1"):
            headers = {"Accept": accept} if accept else {}
            for reference in ("v1", image.top.digest):
                answer = wire.ask(weir, f"/v2/docker.io/{repository}/manifests/{reference}", headers=headers)
                assert answer.digest == image.top.digest == answer.headers["docker-content-digest"]
                assert answer.headers["content-type"] == image.top.media_type


def test_nothing_is_ever_content_encoded(front, weir, multi):
    headers = {"Accept-Encoding": "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5"}
    layer = multi.platform().layers[0]
    for path in ("manifests/v1", f"blobs/{layer.digest}", "tags/list", "manifests/none"):
        assert "content-encoding" not in wire.ask(weir, f"/v2/docker.io/lab/multi/{path}", headers=headers).headers
    assert all(asked.headers.get("accept-encoding", "identity") == "identity" for asked in front.requests())


def test_a_blob_is_not_served_under_a_repository_that_has_nothing_to_do_with_it(front, weir, registry, maker):
    image = registry.push("lab/owner", "v1", maker.single((100_000,)))
    registry.push("lab/stranger", "v1", maker.single((1000,)))
    wire.pull(weir, "docker.io/lab/owner", "v1")
    wire.pull(weir, "docker.io/lab/stranger", "v1")
    answer = wire.ask(weir, f"/v2/docker.io/lab/stranger/blobs/{image.platforms[0].layers[0].digest}")
    assert (answer.status, answer.error_codes()) == (404, ["BLOB_UNKNOWN"])


def test_what_was_pulled_is_there_after_a_restart(front, weir, multi):
    wire.pull(weir, "docker.io/lab/multi", "v1")
    weir.restart()
    front.mode("refuse")
    wire.pull(weir, "docker.io/lab/multi", "v1")


def test_a_sha512_reference_is_served_and_checked(front, weir, registry, maker):
    import hashlib
    image = registry.push("lab/long", "v1", maker.single())
    digest = "sha512:" + hashlib.sha512(image.top.data()).hexdigest()
    front.rule({"kind": "manifest", "reference": digest}, status=200, body=image.top.data().decode(),
               headers={"Content-Type": image.top.media_type, "Docker-Content-Digest": digest})
    answer = wire.ask(weir, f"/v2/docker.io/lab/long/manifests/{digest}")
    assert (answer.status, answer.body) == (200, image.top.data())
    wrong = "sha512:" + "0" * 128
    front.rule({"kind": "manifest", "reference": wrong}, status=200, body=image.top.data().decode(),
               headers={"Content-Type": image.top.media_type})
    assert wire.ask(weir, f"/v2/docker.io/lab/long/manifests/{wrong}").status >= 400


def test_a_manifest_that_is_asked_by_32_at_once_is_fetched_once(front, weir, multi):
    from concurrent.futures import ThreadPoolExecutor
    front.rule({"kind": "manifest"}, delay=0.3)
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(lambda _: wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").digest, range(32)))
    assert set(got) == {multi.top.digest}
    assert len(front.requests(kind="manifest", method="GET")) == 1


def test_the_access_line_tells_where_an_answer_came_from(front, weir, multi):
    layer = multi.platform().layers[0]
    path = f"/v2/docker.io/lab/multi/blobs/{layer.digest}"
    assert wire.ask(weir, path).headers["x-cache"] == "miss"
    # The blob is being put away for a moment after its last byte was sent; a reader of that moment has joined.
    eventually(lambda: wire.ask(weir, path).headers["x-cache"].startswith("hit"), say="a hit")
    # Each loop writes its own lines: their order is not that of the requests.
    eventually(lambda: len(weir.access(route="blob", cache="miss")) == 1, say="the access line of the miss")
    eventually(lambda: any(line["cache"].startswith("hit") for line in weir.access(route="blob")), say="that of the hit")
