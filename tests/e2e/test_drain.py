"""SIGTERM: nobody loses a running transfer within the drain time, and after it weir is gone."""

import signal

from support import wire
from support.images import MB
from support.proc import eventually, listening


def layer_of(registry, maker, name, size=6 * MB):
    return registry.push(name, "v1", maker.single((size,))).platforms[0].layers[0]


def test_a_running_cold_download_is_finished_before_weir_ends(front, weir, registry, maker):
    layer = layer_of(registry, maker, "lab/drain")
    front.rule({"kind": "blob", "method": "GET"}, stall_after=3 * MB, times=1)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/drain/blobs/{layer.digest}")
    reading.read(MB)
    weir.process.send(signal.SIGTERM)
    eventually(lambda: not listening(weir.port), say="the closed port")
    front.hang_up()     # the rest comes as a range
    assert reading.rest().digest == layer.digest
    assert len(front.blob_requests(layer.digest)) == 2
    reading.close()
    assert weir.process.wait(10) == 0


def test_a_running_hot_download_to_a_slow_client_is_finished(front, weir, registry, maker):
    layer = layer_of(registry, maker, "lab/drain-hot")
    path = f"/v2/docker.io/lab/drain-hot/blobs/{layer.digest}"
    wire.fetch(weir, path)
    reading = wire.Reading(weir, path, receive_buffer=16384)
    reading.read(1000)
    weir.process.send(signal.SIGTERM)
    eventually(lambda: not listening(weir.port), say="the closed port")
    assert reading.rest().digest == layer.digest
    reading.close()
    assert weir.process.wait(10) == 0


def test_idle_connections_do_not_hold_the_end_up(weir):
    held = [wire.connect(weir.url) for _ in range(5)]
    for sock in held:
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    weir.process.send(signal.SIGTERM)
    # The drain time is 30 s.
    assert weir.process.wait(10) == 0


def test_after_the_drain_time_what_still_runs_is_cut(front, new_weir, registry, maker):
    layer = layer_of(registry, maker, "lab/drain-late")
    weir = new_weir(front, weir={"drainTimeout": "500ms"})
    front.rule({"kind": "blob"}, rate=200_000)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/drain-late/blobs/{layer.digest}")
    reading.read(1000)
    weir.process.send(signal.SIGTERM)
    # The rest would take 30 s.
    weir.process.wait(15)
    try:
        reading.rest()
    except OSError:
        pass
    assert reading.count < layer.size


def test_what_had_arrived_when_weir_ended_is_not_fetched_again(front, new_weir, registry, maker):
    layer = layer_of(registry, maker, "lab/drain-resume", 12 * MB)
    weir = new_weir(front, weir={"drainTimeout": "200ms"})
    front.rule({"kind": "blob"}, rate=8 * MB)
    path = f"/v2/docker.io/lab/drain-resume/blobs/{layer.digest}"
    reading = wire.Reading(weir, path)
    reading.read(6 * MB)
    weir.stop()
    reading.close()
    front.heal()
    front.forget()
    weir.start()
    assert wire.fetch(weir, path).digest == layer.digest
    assert front.blob_bytes(layer.digest) <= layer.size - 6 * MB


def test_a_second_signal_ends_it_at_once(front, weir, registry, maker):
    layer = layer_of(registry, maker, "lab/drain-twice")
    front.rule({"kind": "blob"}, rate=100_000)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/drain-twice/blobs/{layer.digest}")
    reading.read(1000)
    weir.process.send(signal.SIGTERM)
    eventually(lambda: not listening(weir.port), say="the closed port")
    weir.process.send(signal.SIGTERM)
    weir.process.wait(5)
    reading.close()
