"""Whose network a call is from: the peer's, unless the peer is a proxy of ours."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from api.http.network import caller_network, parse_proxies

PROXIES = "10.0.0.0/8, 2001:db8:ffff::7,192.0.2.1"


def seen(peer: str | None, *forwarded: str, proxies: str | None = PROXIES) -> str | None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in forwarded])
    request = make_mocked_request("GET", "/", headers).clone(remote=peer or "")
    network = caller_network(request, parse_proxies(proxies))
    return str(network) if network else None


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:198.51.100.77", "198.51.100.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", None),
        ("@socket", None),
    ],
)
def test_caller_without_a_proxy_is_the_peer(peer: str, network: str | None) -> None:
    assert seen(peer) == seen(peer, proxies=None) == seen(peer, "203.0.113.9") == network


@pytest.mark.parametrize(
    ("forwarded", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.9:51234", "203.0.113.0/24"),
        ("2001:db8:1::9", "2001:db8:1::/48"),
        ("[2001:db8:1::9]", "2001:db8:1::/48"),
        ('"[2001:db8:1::9]:51234"', "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("fe80::9%eth0", "fe80::/48"),
    ],
)
def test_caller_behind_a_proxy_is_whom_it_names(forwarded: str, network: str) -> None:
    for proxy in ("10.1.2.3", "192.0.2.1", "2001:db8:ffff::7", "::ffff:10.1.2.3"):
        assert seen(proxy, forwarded) == network


def test_caller_behind_several_proxies_is_the_last_who_is_none() -> None:
    chain = "203.0.113.9, 10.9.9.9 ,192.0.2.1"
    assert seen("10.1.2.3", chain) == seen("10.1.2.3", *chain.split(",")) == "203.0.113.0/24"


def test_address_that_the_caller_wrote_is_not_believed() -> None:
    assert seen("10.1.2.3", "198.51.100.1, 203.0.113.9") == "203.0.113.0/24"
    assert seen("10.1.2.3", "10.9.9.9, 203.0.113.9, 192.0.2.1") == "203.0.113.0/24"


def test_caller_who_is_a_proxy_itself_is_the_first_of_the_chain() -> None:
    assert seen("10.1.2.3", "10.8.8.8, 192.0.2.1") == "10.8.8.0/24"


@pytest.mark.parametrize(
    "forwarded", ["", " ", "unknown", "_hidden", "300.1.1.1", "[", "[::x]", "1.2.3", ":", "\x00", "é"]
)
def test_malformed_address_ends_at_the_proxy_that_let_it_in(forwarded: str) -> None:
    assert seen("10.1.2.3", forwarded) == seen("10.1.2.3", f"203.0.113.9, {forwarded}") == "10.1.2.0/24"


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.0/33", "10.0.0.1;10.0.0.2", "10.0.0.1,", ","])
def test_proxies_that_are_not_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        parse_proxies(text)


def test_proxies_are_addresses_and_networks() -> None:
    assert parse_proxies(None) == parse_proxies("") == ()
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::7/128"), ip_network("192.0.2.1/32"))
    assert parse_proxies(PROXIES) == networks
    assert parse_proxies("10.1.2.3/8") == networks[:1]
