"""The process's own hygiene: its descriptors, its locks, what stands in a file's place, and what it tells of secrets."""

import contextlib
import json
import os
import stat
import subprocess
import sys

import pytest
from support import wire
from support.proc import eventually
from support.weir import BINARY, configuration, registry_entry

SECRET = "s3cret-of-the-lab"


def command(*args, seconds=30, **more):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, **more)


# ---- row 13: reload ---------------------------------------------------------------------------------------------------

def test_a_right_file_takes_also_after_one_that_named_another_root(new_weir, front, new_front, multi):
    weir = new_weir(front)
    root = weir.config["storage"]["rootDirectory"]
    weir.config["storage"]["rootDirectory"] = "/nowhere/at/all"
    weir.reload()
    eventually(lambda: "storage.rootDirectory" in weir.log(), say="the word on what needs a restart")
    weir.config["storage"]["rootDirectory"] = root
    weir.config["weir"]["hosts"]["quay.io"] = "up"
    weir.reload()
    eventually(lambda: wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=quay.io").status == 200, say="the new name")
    assert "not reloaded" not in weir.log()


def test_a_reload_that_one_part_refuses_changes_nothing(new_weir, front, authority, multi, tmp_path):
    """The upstreams are right and new, the certificate is not: neither is taken."""
    first = authority.leaf("127.0.0.1", "one.test")
    weir = new_weir(front, http={"tls": {"cert": str(first[0]), "key": str(first[1])}})
    context = authority.client_context()
    (tmp_path / "rubbish").write_text("rubbish")
    weir.config["http"]["tls"]["cert"] = str(tmp_path / "rubbish")
    weir.config["weir"]["hosts"]["quay.io"] = "up"
    weir.reload()
    eventually(lambda: "not reloaded" in weir.log(), say="the refusal")
    assert wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=quay.io", context=context).status == 404
    weir.config["http"]["tls"]["cert"] = str(first[0])
    weir.reload()
    eventually(lambda: wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=quay.io", context=context).status == 200, say="the new name")


# ---- row 19: descriptors ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
def test_closed_standard_descriptors_are_nobody_elses(start_weir, front, multi, closed):
    """What is logged to standard error went into whatever file had taken its number."""
    code = "import os, sys\nfor fd in sys.argv[1].split(): os.close(int(fd))\nos.execvp(sys.argv[2], sys.argv[2:])"
    weir = start_weir(configuration(registry_entry(front)), prefix=(sys.executable, "-c", code, closed))
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").status == 200
    for fd in closed.split():
        assert os.readlink(f"/proc/{weir.pid}/fd/{fd}") == "/dev/null"
    assert (weir.state / "weir.lock").read_bytes() == b""


# ---- row 23: the state directory --------------------------------------------------------------------------------------

def test_a_removed_lock_lets_no_second_weir_in(weir, tmp_path):
    (weir.state / "weir.lock").unlink()
    (tmp_path / "config.json").write_text(json.dumps(weir.config))
    done = command("serve", tmp_path / "config.json")
    assert done.returncode != 0 and "in use by another weir" in done.stderr, done.stderr


def blob_path(weir, digest):
    algorithm, hexadecimal = digest.split(":")
    return next((weir.state / "blobs" / algorithm / hexadecimal[:2]).glob(hexadecimal + ".*"))


@pytest.mark.parametrize("thing", ["pipe", "directory", "link", "socket"])
def test_what_stands_in_a_blobs_place_costs_a_fetch_and_no_thread(weir, front, registry, maker, thing):
    """A pipe held a pool thread for good; eight of them, all."""
    layers = registry.push(f"lab/place-{thing}", "v1", maker.single((5000,) * 10)).platforms[0].layers
    path = f"/v2/docker.io/lab/place-{thing}/blobs/"
    for layer in layers:
        assert wire.fetch(weir, path + layer.digest).digest == layer.digest
    eventually(lambda: all(list((weir.state / "blobs").rglob(layer.digest[7:] + ".*")) for layer in layers), say="the blobs")
    weir.stop()
    for layer in layers:
        place = blob_path(weir, layer.digest)
        place.unlink()
        if thing == "pipe":
            os.mkfifo(place)
        elif thing == "directory":
            place.mkdir()
        elif thing == "link":
            place.symlink_to("/etc/passwd")
        else:
            os.mknod(place, stat.S_IFSOCK | 0o600)
    weir.start()
    for layer in layers:
        assert wire.fetch(weir, path + layer.digest).digest == layer.digest
    assert "not a file" in weir.log()


def test_a_pipe_in_the_place_of_what_was_half_fetched_costs_a_fetch(weir, front, registry, maker):
    layer = registry.push("lab/half", "v1", maker.single((6_000_000,))).platforms[0].layers[0]
    path = f"/v2/docker.io/lab/half/blobs/{layer.digest}"
    front.rule({"kind": "blob"}, stall_after=3_000_000, times=1)
    reading = wire.Reading(weir, path)
    reading.read(1_000_000)
    weir.kill()
    reading.close()
    staged = list((weir.state / "staging").iterdir())
    assert staged
    for place in staged:
        place.unlink()
        os.mkfifo(place)
    weir.start()
    assert wire.fetch(weir, path).digest == layer.digest


@pytest.mark.parametrize("name", ["weir.db", "weir.db-wal", "weir.lock"])
def test_a_link_in_a_state_files_place_is_a_sentence(start_weir, front, tmp_path, name):
    state = tmp_path / "root"
    state.mkdir()
    (state / name).symlink_to("nowhere")
    config = configuration(registry_entry(front), storage={"rootDirectory": str(state)})
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = command("serve", tmp_path / "config.json")
    assert done.returncode != 0 and name in done.stderr, done.stderr


@pytest.mark.parametrize("what", ["config", "cert", "credentials"])
def test_a_pipe_that_nobody_writes_to_is_a_sentence(start_weir, front, authority, tmp_path, what):
    os.mkfifo(tmp_path / "pipe")
    leaf = authority.leaf("127.0.0.1")
    config = configuration(registry_entry(front), storage={"rootDirectory": str(tmp_path / "state")})
    if what == "cert":
        config["http"]["tls"] = {"cert": str(tmp_path / "pipe"), "key": str(leaf[1])}
    if what == "credentials":
        config["weir"]["upstreams"] = {"default": {"credentials": [{"username": "u", "passwordFile": str(tmp_path / "pipe")}]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = command("serve", tmp_path / ("pipe" if what == "config" else "config.json"))
    assert done.returncode != 0 and "pipe" in done.stderr, done.stderr


def test_the_number_of_removals_cut_short_ends_nothing(weir, multi):
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").status == 200
    os.truncate(weir.state / "weir.db-removals", 0)
    for _ in range(3):
        assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").status == 200
    assert weir.process.alive()


# ---- row 21: secrets --------------------------------------------------------------------------------------------------

def test_the_database_is_its_owners_alone(new_weir, front, multi):
    weir = new_weir(front)
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").status == 200
    assert stat.S_IMODE(weir.state.stat().st_mode) == 0o700
    for name in ("weir.db", "weir.db-wal", "weir.db-shm", "weir.db-removals", "weir.lock"):
        assert stat.S_IMODE((weir.state / name).stat().st_mode) == 0o600, name


def test_a_login_in_a_host_field_is_not_logged(weir):
    for host in (f"robot:{SECRET}@docker.io", f"{SECRET}@docker.io"):
        answer = wire.say(weir, f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert b" 400 " in answer.split(b"\r\n")[0]
    with contextlib.suppress(OSError):
        wire.say(weir, f"GET http://robot:{SECRET}@docker.io/v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    wire.ask(weir, f"/v2/lab/multi/manifests/v1?ns=robot:{SECRET}@docker.io")
    wire.ask(weir, f"/v2/lab/multi/manifests/v1?ns=robot%3A{SECRET}%40docker.io")
    eventually(lambda: len(weir.access()) >= 4, say="the access lines")
    assert SECRET not in weir.log()


def test_a_token_in_a_query_goes_nowhere(weir, front, multi):
    answer = wire.ask(weir, f"/v2/docker.io/lab/multi/tags/list?n=5&access_token={SECRET}")
    assert answer.status == 200
    assert SECRET not in str(answer.headers)
    assert wire.ask(weir, f"/v2/docker.io/lab/multi/referrers/{multi.top.digest}?private_token={SECRET}").status == 200
    assert front.requests(kind="tags") and not any(SECRET in str(asked.query) for asked in front.requests())
    weir.stop()
    assert SECRET not in weir.log()
    for path in weir.stored():
        assert SECRET.encode() not in path.read_bytes(), path


def test_verify_tells_no_secret(tmp_path):
    for own in ({"upstreams": {"docker.io": {"credentials": f"robot:{SECRET}"}}},
                {"upstreams": {f"https://robot:{SECRET}@docker.io": {"ttl": "1m"}}},
                {f"https://robot:{SECRET}@docker.io": 1}):
        (tmp_path / "config.json").write_text(json.dumps({"weir": own}))
        for args in ((), ("--json",), ("--lenient",)):
            done = command("verify", *args, tmp_path / "config.json")
            assert "weir." in done.stdout + done.stderr
            assert SECRET not in done.stdout + done.stderr, own
