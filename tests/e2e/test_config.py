"""The configuration of a zot serves as it is; what is wrong is said with its place; a reload changes what it can."""

import json
import pathlib
import subprocess
import sys

import pytest
from support import network, wire
from support.proc import eventually
from support.weir import BINARY, Weir, configuration, registry_entry

SEED = {
    "http": {"address": "0.0.0.0", "port": "8187", "compat": ["docker2s2"]},
    "log": {"level": "debug"},
    "extensions": {"sync": {
        "enable": True, "credentialsFile": "/etc/zot/config/sync-auth.json",
        "registries": [
            {"urls": ["https://mirror.ccs.tencentyun.com"], "content": [{"prefix": "**", "destination": "/docker-images"}],
             "onDemand": True, "tlsVerify": True, "maxRetries": 3, "retryDelay": "30s", "preserveDigest": True},
            {"urls": ["https://ghcr.io"], "content": [{"prefix": "**", "destination": "/ghcr-images"}],
             "onDemand": True, "tlsVerify": True, "maxRetries": 6, "retryDelay": "1m", "preserveDigest": True},
        ],
        "downloadDir": "/var/lib/zot/download/"}},
}


def command(*args, env=None):
    return subprocess.run([str(BINARY), *map(str, args)], capture_output=True, text=True, timeout=30, env=env)


def verify(tmp_path, document, *args, name="config.json"):
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document, indent=2))
    return command("verify", *args, path)


@pytest.fixture
def seed(tmp_path):
    """The operator's file, with only what a test cannot have elsewhere: its credentials file is in the test's folder."""
    config = json.loads(json.dumps(SEED))
    (tmp_path / "sync-auth.json").write_text("{}")
    config["extensions"]["sync"]["credentialsFile"] = str(tmp_path / "sync-auth.json")
    return config


def test_the_operators_zot_file_serves_as_it_is(tmp_path, seed, front, multi, start_weir):
    """No storage section, two upstreams with destinations, docker2s2, preserveDigest, downloadDir, credentialsFile."""
    for entry in seed["extensions"]["sync"]["registries"]:
        entry["urls"], entry["certDir"] = [front.url], str(front.authority.cert_dir())
    seed["http"].update(address="127.0.0.1", port="0")
    weir = start_weir(seed, env={"XDG_STATE_HOME": str(tmp_path / "state-home")})
    for destination in ("docker-images", "ghcr-images"):
        wire.pull(weir, f"{destination}/lab/multi", "v1")
    assert (tmp_path / "state-home" / "weir").is_dir()


def test_verify_tells_key_by_key_what_becomes_of_the_operators_file(tmp_path, seed):
    done = verify(tmp_path, seed)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    told = "\n".join(lines.values())
    for key in ("http.port", "extensions.sync.registries[0].urls", "extensions.sync.registries[1].onDemand"):
        assert key in told
    for key in ("http.compat", "extensions.sync.downloadDir", "extensions.sync.registries[0].preserveDigest"):
        line = next(line for line in done.stdout.splitlines() if key in line)
        assert "honoured" not in line and "no effect" in line, line


def test_an_unknown_key_is_an_error_with_file_path_and_the_nearest_key(tmp_path, seed):
    seed["extensions"]["sync"]["registries"][0]["onDemnad"] = True
    done = verify(tmp_path, seed)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "config.json" in said and "extensions.sync.registries[0].onDemnad" in said and "onDemand" in said
    lenient = verify(tmp_path, seed, "--lenient")
    assert lenient.returncode == 0 and "onDemnad" in lenient.stdout + lenient.stderr


@pytest.mark.parametrize("text,word", [
    ("{", "config.json"),
    ('{"http": {"port": "no number"}}', "http.port"),
    ('{"extensions": {"sync": {"registries": [{"urls": ["https://x"], "retryDelay": "2d"}]}}}', "retryDelay"),
    ('{"weir": {"hosts": {"docker.io": "nowhere"}}, "http": {"port": 1}}', "nowhere"),
    ('{}', "config.json"),
], ids=["broken-json", "a-port-that-is-none", "a-duration-of-days", "an-unknown-destination", "nothing"])
def test_what_is_wrong_is_said_with_its_place_and_nothing_starts(tmp_path, text, word):
    done = verify(tmp_path, text)
    assert done.returncode != 0
    assert word in done.stdout + done.stderr
    served = command("serve", tmp_path / "config.json")
    assert served.returncode != 0 and word in served.stdout + served.stderr


def test_keys_in_any_case_weak_types_and_yaml_are_read_as_zot_reads_them(tmp_path, front, multi):
    folder = tmp_path / "weir"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"""\
HTTP: {{Address: 127.0.0.1, PORT: 0}}
storage: {{rootdirectory: {folder}/state, gc: "true"}}
extensions:
  sync:
    registries:
      - URLs: {front.url}
        ondemand: "true"
        certdir: {front.authority.cert_dir()}
        content: {{prefix: "**", destination: /up}}
""")
    weir = Weir(folder, None, start=False)
    weir.args = (folder / "config.yaml",)
    weir.start()
    try:
        assert wire.ask(weir, "/v2/up/lab/multi/manifests/v1").digest == multi.top.digest
    finally:
        weir.stop()


def test_version_is_told():
    done = command("version")
    assert done.returncode == 0 and any(part.isdigit() for part in done.stdout.replace(".", " ").split())


def test_without_a_file_weir_serves_the_public_registries_on_port_5000(tmp_path):
    with network.own_network():
        weir = Weir(tmp_path / "weir", None, env={"XDG_STATE_HOME": str(tmp_path / "state-home")})
        try:
            assert weir.port == 5000
            assert wire.ask(weir, "/v2/").status == 200
            for name in ("docker.io", "ghcr.io", "quay.io", "gcr.io", "registry.k8s.io", "mcr.microsoft.com",
                         "public.ecr.aws", "nvcr.io", "registry.gitlab.com"):
                answer = wire.ask(weir, f"/v2/{name}/some/thing/manifests/v1")
                assert answer.status >= 500, (name, answer.status)
            assert wire.ask(weir, "/v2/registry.example/some/thing/manifests/v1").status == 404
        finally:
            weir.stop()


ON_A_TERMINAL = """
import os, pty, sys
master, slave = pty.openpty()
os.set_inheritable(master, True)
os.dup2(slave, 1)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_logs_are_text_on_a_terminal_and_json_elsewhere(start_weir, front, terminal):
    config = configuration(registry_entry(front))
    del config["weir"]["log"]
    weir = start_weir(config, prefix=(sys.executable, "-c", ON_A_TERMINAL) if terminal else ())
    line = eventually(lambda: next((text for text in weir.log().splitlines() if "serves on" in text), None), say="the first line")
    assert line.startswith("{") != terminal, line


def test_who_starts_weir_without_a_file_is_told_what_it_does(tmp_path):
    with network.own_network():
        weir = Weir(tmp_path / "weir", None, env={"XDG_STATE_HOME": str(tmp_path / "state-home")})
        try:
            eventually(lambda: "from another machine" in weir.log(), say="how to pull")
            assert str(tmp_path / "state-home") in weir.log() and "plain HTTP" in weir.log()
        finally:
            weir.stop()


def test_a_port_in_use_is_a_clear_error(tmp_path, weir):
    config = json.loads(weir.config_path.read_text())
    config["http"]["port"] = str(weir.port)
    config["storage"]["rootDirectory"] = str(tmp_path / "other-state")
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = command("serve", tmp_path / "config.json")
    assert done.returncode != 0
    assert str(weir.port) in done.stdout + done.stderr


def test_sighup_reloads_what_can_change_and_names_what_cannot(front, new_front, weir, multi):
    other = new_front()
    assert wire.ask(weir, "/v2/second/lab/multi/manifests/v1").status == 404
    weir.config["extensions"]["sync"]["registries"].append(registry_entry(other, destination="/second"))
    weir.config["weir"]["hosts"]["ghcr.io"] = "second"
    weir.config["http"]["port"] = "1234"
    before = weir.process.pid
    weir.reload()
    eventually(lambda: wire.ask(weir, "/v2/second/lab/multi/manifests/v1").status == 200, say="the new upstream")
    assert wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=ghcr.io").digest == multi.top.digest
    assert other.requests(kind="manifest")
    eventually(lambda: "http.port" in weir.log(), say="the word on what needs a restart")
    assert weir.process.alive() and weir.process.pid == before


def test_a_changed_file_is_noticed_without_a_signal(front, new_front, new_weir, multi):
    weir = new_weir(front, weir={"reload": {"interval": "100ms"}})
    weir.config["weir"]["hosts"]["quay.io"] = "up"
    weir.write_config()
    answer = eventually(lambda: (a := wire.ask(weir, "/v2/lab/multi/manifests/v1?ns=quay.io")).status == 200 and a,
                        say="the new name")
    assert answer.digest == multi.top.digest


def test_a_broken_file_leaves_the_old_configuration_in_force(weir, multi):
    weir.config_path.write_text("{ not json")
    weir.process.send(1)
    eventually(lambda: "config.json" in weir.log(), say="the complaint")
    assert wire.ask(weir, "/v2/docker.io/lab/multi/manifests/v1").digest == multi.top.digest


def test_a_reload_disturbs_no_running_download(front, weir, registry, maker):
    layer = registry.push("lab/reload", "v1", maker.single((6_000_000,))).platforms[0].layers[0]
    front.rule({"kind": "blob", "method": "GET"}, stall_after=2_000_000, times=1)
    reading = wire.Reading(weir, f"/v2/docker.io/lab/reload/blobs/{layer.digest}")
    reading.read(1_000_000)
    weir.config["weir"]["hosts"]["quay.io"] = "up"
    weir.reload()
    eventually(lambda: "reloaded (" in weir.log(), say="the reload")
    front.hang_up()     # the rest comes as a range
    assert reading.rest().digest == layer.digest
    assert len(front.blob_requests(layer.digest)) == 2


def test_renewed_certificates_are_used_after_a_reload(new_weir, front, authority, tmp_path):
    first, second = authority.leaf("127.0.0.1", "one.test"), authority.leaf("127.0.0.1", "two.test")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def use(leaf):
        key.write_bytes(pathlib.Path(leaf[1]).read_bytes())
        cert.write_bytes(pathlib.Path(leaf[0]).read_bytes())

    def names():
        with wire.connect(weir.url, authority.client_context()) as sock:
            return {name for _, name in sock.getpeercert()["subjectAltName"]}
    use(first)
    weir = new_weir(front, http={"tls": {"cert": str(cert), "key": str(key)}})
    assert "one.test" in names()
    use(second)
    weir.reload()
    eventually(lambda: "two.test" in names(), say="the new certificate")


def test_a_file_that_a_reload_refused_is_looked_at_again_when_it_changes(new_weir, front, authority, tmp_path):
    first, second = authority.leaf("127.0.0.1", "one.test"), authority.leaf("127.0.0.1", "two.test")
    weir = new_weir(front, http={"tls": {"cert": str(first[0]), "key": str(first[1])}}, weir={"reload": {"interval": "100ms"}})
    cert = tmp_path / "new.crt"
    cert.write_text("not yet a certificate")
    weir.config["http"]["tls"] = {"cert": str(cert), "key": str(second[1])}
    weir.write_config()
    eventually(lambda: "not reloaded (" in weir.log(), say="the refusal")

    def names():
        with wire.connect(weir.url, authority.client_context()) as sock:
            return {name for _, name in sock.getpeercert()["subjectAltName"]}
    assert "one.test" in names()
    fixed = cert.with_suffix(".fixed")
    fixed.write_bytes(pathlib.Path(second[0]).read_bytes())
    fixed.rename(cert)
    eventually(lambda: "two.test" in names(), say="the certificate that was made good")


def test_the_default_state_of_two_weirs_cannot_be_shared(tmp_path, weir):
    """Two processes on one state directory would damage it: the second one says so and ends."""
    config = json.loads(weir.config_path.read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = command("serve", tmp_path / "config.json")
    assert done.returncode != 0
    assert "state" in done.stdout + done.stderr


def test_configuration_documents_every_own_key():
    """docs/configuration.md is where operators look."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for key in ("hosts", "freshness.ttl", "missTimeout", "drainTimeout", "fetch.recordInterval", "segments", "cache.minFree"):
        assert key in text, key
