"""What operators see: access lines, metrics, health."""

import re

from support import wire
from support.proc import eventually


def metric(weir, name, **labels):
    """The sum of a metric's samples that have these labels."""
    total = 0.0
    for line in wire.ask(weir, "/metrics").body.decode().splitlines():
        match = re.fullmatch(r"([a-zA-Z_:]+)(?:\{(.*)\})? ([0-9.eE+-]+)", line)
        if match and match[1] == name and all(f'{k}="{v}"' in (match[2] or "") for k, v in labels.items()):
            total += float(match[3])
    return total


def test_health_pages_answer(weir):
    for path in ("/livez", "/readyz", "/startupz"):
        assert wire.ask(weir, path).status == 200


def test_metrics_count_requests_and_bytes_by_where_they_came_from(weir, front, multi):
    layer = multi.platform().layers[0]
    path = f"/v2/docker.io/lab/multi/blobs/{layer.digest}"
    wire.ask(weir, path)
    eventually(lambda: metric(weir, "weir_fetches_running") == 0 and metric(weir, "weir_blobs") == 1, say="the end of the fetch")
    wire.ask(weir, path)
    wire.ask(weir, path)
    # One after the other is raised.
    eventually(lambda: metric(weir, "weir_client_bytes_total", route="blob") == 3 * layer.size and
               metric(weir, "weir_requests_total", route="blob") == 3, say="three requests")
    assert metric(weir, "weir_requests_total", route="blob", cache="miss") == 1
    assert metric(weir, "weir_cache_bytes_total", cache="miss") == layer.size
    assert metric(weir, "weir_blob_bytes") == layer.size


def test_metrics_show_the_breaker_of_an_upstream(weir, front):
    usable = lambda: metric(weir, "weir_upstream_mirror_usable")
    wire.ask(weir, "/v2/docker.io/lab/x/manifests/v1")
    assert usable() == 1
    front.rule({}, status=500)
    for number in range(10):
        wire.ask(weir, f"/v2/docker.io/lab/x{number}/manifests/v1")
    assert usable() == 0


def test_metrics_are_well_formed(weir, multi):
    wire.pull(weir, "docker.io/lab/multi", "v1")
    answer = wire.ask(weir, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in answer.body.decode().splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [0-9.eE+-]+|[a-zA-Z_:]+(\{.*\})? (NaN|\+Inf)|', line), line


def test_every_request_has_one_access_line_with_what_matters(weir, front, multi):
    layer = multi.platform().layers[0]
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1", headers={"User-Agent": 'quote" and \\ backslash'})
    wire.ask(weir, f"/v2/lab/multi/blobs/{layer.digest}?ns=docker.io")
    wire.ask(weir, "/v2/docker.io/lab/missing/manifests/v1")
    lines = eventually(lambda: len(found := weir.access()) >= 3 and found, say="three access lines")
    # Each loop writes its own lines.
    manifest, blob, missing = sorted(lines, key=lambda line: line["id"])[:3]
    assert (manifest["route"], manifest["status"], manifest["bytes"], manifest["cache"]) == ("manifest", 200, multi.top.size, "miss")
    assert manifest["user_agent"] == 'quote" and \\ backslash'
    assert manifest["upstream"]
    assert (blob["route"], blob["bytes"], blob["ns"]) == ("blob", layer.size, "docker.io")
    assert 0 < blob["first_byte_ms"] <= blob["total_ms"]
    assert missing["status"] == 404


def test_text_lines_when_text_is_wanted(new_weir, front):
    weir = new_weir(front, weir={"log": {"format": "text"}})
    wire.ask(weir, "/v2/docker.io/lab/missing/manifests/v1")
    eventually(lambda: re.search(r"GET /v2/docker\.io/lab/missing/manifests/v1.* 404 ", weir.log()), say="the text line")


def test_a_client_cannot_write_lines_of_its_own_into_the_log(weir):
    wire.say(weir, b'GET /v2/x"\n{"status":999}/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', timeout=5)
    wire.say(weir, b'GET /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x1b[2Jb","status":999,"x":"\r\n'
                   b'Connection: close\r\n\r\n', timeout=5)
    eventually(lambda: weir.access(), say="an access line")
    assert not weir.access(status=999)
    assert "\x1b" not in weir.log()


def test_an_aborted_download_is_told_as_such(weir, front, registry, maker):
    layer = registry.push("lab/aborted", "v1", maker.single((5_000_000,))).platforms[0].layers[0]
    front.rule({"kind": "blob"}, rate=100_000)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/aborted/blobs/{layer.digest}")
    reading.read(1000)
    reading.close()
    line = eventually(lambda: next((l for l in weir.access(route="blob") if "aborted" in l), None), say="the line")
    assert line["bytes"] < layer.size


def test_logs_go_to_the_file_that_is_named(start_weir, front, tmp_path, multi):
    from support.weir import configuration, registry_entry
    config = configuration(registry_entry(front))
    config["log"]["output"] = str(tmp_path / "weir.log")
    weir = start_weir(config)
    wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1")
    eventually(lambda: '"route":"manifest"' in (tmp_path / "weir.log").read_text(), say="the line in the file")
