"""Names are looked up off the transfer threads: a name server's trouble is nobody else's."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest
from support import dns, wire
from support.proc import eventually
from support.weir import configuration, registry_entry

NAME = "upstream.lab"


@pytest.fixture
def names():
    server = dns.NameServer()
    yield server
    server.stop()


@pytest.fixture
def machine(tmp_path):
    return dns.Machine(tmp_path / "etc")


@pytest.fixture
def weir_at(start_weir, machine):
    """weir_at({destination: front or URL}): a weir on that machine."""
    def start(upstreams, **weir):
        entries = []
        for destination, upstream in upstreams.items():
            if isinstance(upstream, str):
                entries.append({"urls": [upstream], "onDemand": True, "tlsVerify": False, "maxRetries": 0,
                                "content": [{"prefix": "**", "destination": "/" + destination}]})
            else:
                entries.append(registry_entry(upstream, destination="/" + destination))
        own = {"upstreams": {"default": {"connectTimeout": "1s"}}, "hosts": {}, **weir}
        return start_weir(configuration(*entries, weir=own), prefix=machine.prefix)
    return start


def test_a_name_is_asked_for_once_and_kept(names, weir_at, new_front, multi):
    names.table[NAME] = ["127.0.0.1"]
    weir = weir_at({"up": new_front(host=NAME)})
    wire.pull(weir, "up/lab/multi", "v1")
    assert names.asked(NAME) == 1


def test_etc_hosts_names_come_before_the_name_server(names, machine, weir_at, new_front, multi):
    machine.hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    wire.pull(weir_at({"up": new_front(host=NAME)}), "up/lab/multi", "v1")
    assert names.asked(NAME) == 0


def test_search_domains_count(names, machine, weir_at, new_front, multi):
    machine.resolv.write_text("nameserver 127.0.0.1\nsearch example.lab\n")
    names.table["upstream.example.lab"] = ["127.0.0.1"]
    wire.pull(weir_at({"up": new_front(host="upstream")}), "up/lab/multi", "v1")


def test_addresses_where_nobody_listens_do_not_matter_when_another_one_answers(names, weir_at, new_front, multi):
    names.table[NAME] = ["::1", "127.0.0.9", "127.0.0.1"]
    wire.pull(weir_at({"up": new_front(host=NAME)}), "up/lab/multi", "v1")


@pytest.mark.parametrize("silent", [dns.A, dns.AAAA])
def test_a_server_that_drops_one_kind_of_question_does_not_hide_the_other_answer(names, weir_at, new_front, multi, silent):
    names.table[NAME] = ["127.0.0.1"] if silent == dns.AAAA else ["::ffff:127.0.0.1"]
    names.silent_kinds.add(silent)
    wire.pull(weir_at({"up": new_front(host=NAME)}), "up/lab/multi", "v1")


def test_another_resolv_conf_is_noticed(names, machine, weir_at, new_front, multi):
    machine.resolv.write_text("nameserver 127.0.0.77\n")
    names.table[NAME] = ["127.0.0.1"]
    weir = weir_at({"up": new_front(host=NAME)})
    assert wire.ask(weir, "/v2/up/lab/multi/manifests/v1").status in (502, 504)
    machine.resolv.write_text("nameserver 127.0.0.1\n")
    eventually(lambda: wire.ask(weir, "/v2/up/lab/multi/manifests/v1").status == 200, say="the new name server's answer")


@pytest.mark.parametrize("what", ["its own name", "a redirect", "a realm"])
def test_a_name_that_nobody_answers_for_holds_up_nobody_else(names, weir_at, new_front, registry, maker, what):
    names.silent.add("silent.lab")
    good = new_front()
    evil = new_front(auth={"realm": "https://realm.silent.lab/token", "users": {}} if what == "a realm" else True)
    if what == "a redirect":
        evil.rule({"kind": "blob"}, redirect="https://cdn.silent.lab/{digest}")
        evil.rule({"kind": "manifest"}, redirect="https://cdn.silent.lab/{digest}")
    bad = "http://silent.lab:5000" if what == "its own name" else evil
    weir = weir_at({"up": good, "bad": bad}, missTimeout="4s")
    for i in range(3):
        registry.push(f"lab/calm{i}", "v1", maker.single((1000,)))
    with ThreadPoolExecutor(8) as many:
        for i in range(3):
            asked = [f"/v2/bad/lab/x{i}/manifests/v{n}" for n in range(4)]
            asked += [f"/v2/bad/lab/x{i}/blobs/sha256:{n:064x}" for n in range(4)]
            waiting = [many.submit(wire.ask, weir, path) for path in asked]
            # The first that has run into its time: where a thread waits for a name, it begins to now.
            wait(waiting, return_when=FIRST_COMPLETED)
            wire.pull(weir, f"up/lab/calm{i}", "v1")
            assert {future.result().status for future in waiting} <= {404, 502, 504}
