"""Byte ranges of stored, growing and cold blobs: the same answers, to RFC 9110."""

import email.parser
import statistics

import pytest
from support import wire
from support.images import MB
from support.proc import eventually
from test_observe import metric

CHUNK = 4 << 20


@pytest.fixture(scope="module")
def layer(registry, maker):
    return registry.push("lab/ranges", "v1", maker.single((3 * MB,))).platforms[0].layers[0]


@pytest.fixture(params=["cold", "growing", "stored"])
def state(request, front, weir, layer):
    """The blob in each of its states; yields its path."""
    path = f"/v2/docker.io/lab/ranges/blobs/{layer.digest}"
    reading = None
    if request.param == "stored":
        assert wire.fetch(weir, path).digest == layer.digest
    if request.param == "growing":
        front.rule({"kind": "blob"}, rate=MB)
        reading = wire.Reading(weir, path)
        reading.read(1000)
    yield path
    if reading:
        reading.close()


def parts(answer):
    """[(Content-Range, bytes)] of a multipart/byteranges answer."""
    kind = answer.headers["content-type"]
    assert kind.startswith("multipart/byteranges; boundary="), kind
    message = email.parser.BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.body)
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in message.get_payload()]


RANGES = {
    "first-byte": ("bytes=0-0", 0, 1),
    "inside": ("bytes=1000-1999", 1000, 1000),
    "suffix": ("bytes=-500", 3 * MB - 500, 500),
    "open-ended": ("bytes=2999000-", 2_999_000, 1000),
    "end-past-the-blob": ("bytes=2999000-99999999", 2_999_000, 1000),
    "end-one-past-the-blob": ("bytes=2999000-3000000", 2_999_000, 1000),
    "suffix-longer-than-the-blob": ("bytes=-99999999", 0, 3 * MB),
    "last-byte": ("bytes=2999999-", 2_999_999, 1),
    "whole": ("bytes=0-", 0, 3 * MB),
    "unit-in-capitals": ("BYTES=10-19", 10, 10),
}


@pytest.mark.parametrize("wanted", RANGES.values(), ids=RANGES)
def test_a_single_range_is_answered_with_just_its_bytes(weir, layer, state, wanted):
    header, first, length = wanted
    answer = wire.ask(weir, state, headers={"Range": header})
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{first + length - 1}/{layer.size}"
    assert answer.headers["content-length"] == str(length)
    assert answer.body == layer.data()[first:first + length]


def test_several_ranges_come_as_multipart(weir, layer, state):
    answer = wire.ask(weir, state, headers={"Range": "bytes=0-9,50-59,-10"})
    assert answer.status == 206
    data = layer.data()
    assert parts(answer) == [(f"bytes 0-9/{layer.size}", data[:10]), (f"bytes 50-59/{layer.size}", data[50:60]),
                             (f"bytes {layer.size - 10}-{layer.size - 1}/{layer.size}", data[-10:])]
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("count", [65, 500, 1024])
def test_as_many_ranges_as_partial_pulls_ask_for_come_as_they_were_asked(weir, layer, state, count):
    """podman's partial pulls (zstd:chunked) ask for up to 1024 pieces at once; a 200 would make them whole ones."""
    step = layer.size // count
    spans = [(number * step, number * step + 99) for number in range(count)]
    answer = wire.ask(weir, state, headers={"Range": "bytes=" + ",".join(f"{first}-{last}" for first, last in spans)})
    assert answer.status == 206
    data = layer.data()
    assert parts(answer) == [(f"bytes {first}-{last}/{layer.size}", data[first:last + 1]) for first, last in spans]


def test_more_ranges_are_400_so_that_clients_ask_for_fewer(weir, layer, state):
    header = "bytes=" + ",".join(f"{10 * number}-{10 * number}" for number in range(1025))
    assert wire.ask(weir, state, headers={"Range": header}).status == 400
    assert wire.ask(weir, state, "HEAD", headers={"Range": header}).status == 200


def test_ranges_can_not_be_used_to_get_more_than_the_blob(weir, layer):
    path = f"/v2/docker.io/lab/ranges/blobs/{layer.digest}"
    whole = wire.ask(weir, path, headers={"Range": "bytes=" + ",".join(["0-"] * 1000)})
    assert (whole.status, len(whole.body)) == (200, layer.size)
    overlapping = wire.ask(weir, path, headers={"Range": "bytes=0-99," + ",".join(f"{n}-{n + 99}" for n in range(1, 1000))})
    assert (overlapping.status, len(overlapping.body)) == (206, 1099)


@pytest.mark.parametrize("header", ["bytes=3000000-", "bytes=3000000-3000010", "bytes=-0", "bytes=99999999-99999999"])
def test_a_range_outside_the_blob_is_416_with_its_size(weir, layer, state, header):
    answer = wire.ask(weir, state, headers={"Range": header})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{layer.size}"


@pytest.mark.parametrize("header", ["bytes=5-1", "bytes=abc", "bytes=", "lines=1-2", "bytes=1-2-3", "bytes 1-2", "bytes=--1"])
def test_a_malformed_range_is_ignored(weir, layer, state, header):
    answer = wire.ask(weir, state, headers={"Range": header})
    assert (answer.status, answer.digest) == (200, layer.digest)


def test_if_range_decides_between_the_part_and_the_whole(weir, layer, state):
    whole = wire.ask(weir, state)
    part = wire.ask(weir, state, headers={"Range": "bytes=0-9", "If-Range": whole.headers["etag"]})
    assert (part.status, part.body) == (206, layer.data()[:10])
    for other in ('"something-else"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = wire.ask(weir, state, headers={"Range": "bytes=0-9", "If-Range": other})
        assert (answer.status, answer.digest) == (200, layer.digest)


def test_a_range_on_a_manifest_gets_the_whole(weir, multi):
    answer = wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1", headers={"Range": "bytes=0-"})
    assert (answer.status, answer.digest) == (200, multi.top.digest)


def test_head_with_a_range_has_no_body_and_downloads_nothing(front, weir, layer):
    answer = wire.ask(weir, f"/v2/docker.io/lab/ranges/blobs/{layer.digest}", "HEAD", headers={"Range": "bytes=0-9"})
    assert answer.status in (200, 206) and answer.body == b""
    assert front.blob_bytes() == 0


def test_accept_ranges_is_said(weir, layer):
    answer = wire.ask(weir, f"/v2/docker.io/lab/ranges/blobs/{layer.digest}")
    assert answer.headers["accept-ranges"] == "bytes"


def test_parallel_open_ended_reads_that_are_dropped_early_cost_one_download(front, weir, registry, maker):
    """containerd 2 reads a layer as several open-ended ranges and drops each after its share."""
    layer = registry.push("lab/parts", "v1", maker.single((24 * MB,))).platforms[0].layers[0]
    front.rule({"kind": "blob"}, rate=40 * MB)
    path, share, data = f"/v2/docker.io/lab/parts/blobs/{layer.digest}", 8 * MB, layer.data()
    readings = [wire.Reading(weir, path, {"Range": f"bytes={start}-"}) for start in range(0, layer.size, share)]
    for number, reading in enumerate(readings):
        assert reading.status == 206
        got = bytearray()
        while len(got) < share:
            got += reading.read(min(65536, share - len(got)))
        assert got == data[number * share:(number + 1) * share]
        reading.close()
    assert wire.fetch(weir, path).digest == layer.digest
    assert front.blob_bytes(layer.digest) <= 1.1 * layer.size


@pytest.fixture(scope="module")
def large(registry, maker):
    return registry.push("lab/large", "v1", maker.single((200 * MB,))).platforms[0].layers[0]


@pytest.mark.deadline(180)
def test_the_end_of_a_cold_200_mb_blob_comes_within_one_round_trip(front, new_weir, large):
    from test_cold import upstream_headers
    front.rule({}, delay=0.05)
    headers, context = upstream_headers(front, "lab/large")
    direct, through = [], []
    for _ in range(5):
        weir = new_weir(front)
        wire.ask(weir, "/v2/docker.io/lab/large/manifests/v1")
        direct.append(wire.ask(front, f"/v2/lab/large/blobs/{large.digest}", context=context,
                               headers={**headers, "Range": "bytes=-1000"}).seconds)
        front.forget()
        answer = wire.ask(weir, f"/v2/docker.io/lab/large/blobs/{large.digest}", headers={"Range": "bytes=-1000"})
        assert (answer.status, answer.body) == (206, tail(large, 1000))
        through.append(answer.seconds)
        assert front.blob_bytes(large.digest) <= CHUNK
        weir.stop()
    # The least of each: a second round trip would add 50 ms to it too.
    assert min(through) <= 1.5 * min(direct), (through, direct)


def tail(blob, count):
    with open(blob.path, "rb") as file:
        file.seek(-count, 2)
        return file.read()


@pytest.mark.deadline(180)
def test_after_a_cold_range_the_whole_read_downloads_only_the_rest(front, weir, large):
    path = f"/v2/docker.io/lab/large/blobs/{large.digest}"
    assert wire.ask(weir, path, headers={"Range": "bytes=-1000"}).status == 206
    assert wire.ask(weir, path, headers={"Range": "bytes=100000000-100000999"}).status == 206
    before = front.blob_bytes(large.digest)
    assert 0 < before <= 2 * CHUNK
    assert wire.fetch(weir, path).digest == large.digest
    assert front.blob_bytes(large.digest) == large.size


def settled(weir):
    """No blob is being filled any more."""
    eventually(lambda: metric(weir, "weir_fetches_running") == 0, say="the end of the fetch")


def test_a_cold_range_is_kept(front, weir, large):
    """The next range of the same chunk is there without asking, also when the upstream is gone."""
    path = f"/v2/docker.io/lab/large/blobs/{large.digest}"
    first = wire.ask(weir, path, headers={"Range": "bytes=5000-5999"})
    settled(weir)
    front.mode("refuse")
    again = wire.ask(weir, path, headers={"Range": "bytes=5000-5999"})
    near = wire.ask(weir, path, headers={"Range": "bytes=100000-100099"})
    assert (first.status, again.status, near.status) == (206, 206, 206)
    assert again.body == first.body


def test_cold_ranges_survive_a_restart(front, weir, large):
    path = f"/v2/docker.io/lab/large/blobs/{large.digest}"
    first = wire.ask(weir, path, headers={"Range": "bytes=-2000"})
    settled(weir)
    weir.restart()
    front.forget()
    assert wire.ask(weir, path, headers={"Range": "bytes=-2000"}).body == first.body
    assert front.blob_bytes(large.digest) == 0
