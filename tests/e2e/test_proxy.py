"""HTTPS_PROXY, HTTP_PROXY and NO_PROXY lead weir's own requests."""

import pytest
from support import pace, wire
from support.proxy import Proxy

NAME = "upstream.test"


@pytest.fixture
def proxy():
    proxy = Proxy()
    yield proxy
    proxy.stop()


def pull(weir):
    wire.pull(weir, "docker.io/lab/multi", "v1")


def test_https_proxy_is_asked_to_connect_and_the_name_is_left_to_it(new_front, new_weir, proxy, multi):
    front = new_front(host=NAME)
    pull(new_weir(front, env={"HTTPS_PROXY": proxy.url(), "NO_PROXY": ""}))
    assert set(proxy.asked) == {("CONNECT", f"{NAME}:{front.port}")}


def test_http_proxy_gets_absolute_targets(new_front, new_weir, proxy, multi):
    front = new_front(host=NAME, tls=False)
    pull(new_weir(front, env={"http_proxy": proxy.url(), "NO_PROXY": ""}))
    assert proxy.asked and all(target.startswith(f"http://{NAME}:{front.port}/") or method == "CONNECT"
                               for method, target in proxy.asked)


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "10.0.0.0/8,127.0.0.1", "*", "localhost, 127.0.0.1"])
def test_no_proxy_keeps_addresses_and_ranges_away_from_the_proxy(front, new_weir, proxy, multi, no_proxy):
    pull(new_weir(front, env={"HTTPS_PROXY": proxy.url(), "NO_PROXY": no_proxy}))
    assert not proxy.asked


def test_no_proxy_for_others_does_not_keep_ours_away(new_front, new_weir, proxy, multi):
    front = new_front(host=NAME)
    pull(new_weir(front, env={"HTTPS_PROXY": proxy.url(), "NO_PROXY": "10.0.0.0/8,.example,stream.test"}))
    assert proxy.asked


def test_a_proxy_that_wants_a_login_gets_it_and_no_log_has_it(new_front, new_weir, multi):
    proxy = Proxy(user="me:proxy-passw0rd")
    front = new_front(host=NAME)
    weir = new_weir(front, env={"HTTPS_PROXY": proxy.url(), "NO_PROXY": ""})
    pull(weir)
    proxy.stop()
    assert "proxy-passw0rd" not in weir.log()


def test_a_proxy_per_upstream_wins_over_the_environment(new_front, new_weir, proxy, multi):
    front = new_front(host=NAME)
    pull(new_weir(front, env={"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""},
                  weir={"upstreams": {"default": {"proxy": proxy.url()}}}))
    assert proxy.asked


def test_a_dead_proxy_is_an_error_in_time_and_hurts_no_hit(new_front, new_weir, proxy, multi):
    front = new_front(host=NAME)
    weir = new_weir(front, env={"HTTPS_PROXY": proxy.url(), "NO_PROXY": ""}, weir={"freshness": {"ttl": "0s"}})
    pull(weir)
    weir.env["HTTPS_PROXY"] = "http://127.0.0.1:1"
    weir.restart()
    pull(weir)
    began = pace.begin()
    answer = wire.ask(weir, "/v2/docker.io/lab/other/manifests/v1")
    # The time that a miss may take.
    assert answer.status >= 500 and pace.in_time(began, 10.5, answer.seconds)
