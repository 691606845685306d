"""Where webhooks may lead: what is refused before anything is sent, and each kind of address."""

from ipaddress import ip_address, ip_network

import pytest

from api.webhooks.reach import LONGEST_URL, may_lead_to, url_error

INSIDE = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
LIKE = (
    f"Give a URL like https://crm.example.com/hooks/feeds: ASCII, without a fragment, at most {LONGEST_URL} characters."
)
PASSWORD = "Leave user and password out of the URL: receivers know the sender by the signature."
PORT = "Use port 443, 80, or one from 1024 on."
HTTPS = "Give a URL that begins with https://."
PUBLIC = "Give a public address: webhooks are not sent to this one."


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example.com",
        "https://crm.example.com/hooks?token=a%20b&c=%F0%9F%8D%8C",
        "https://crm.example.com:8443/",
        "https://93.184.216.34/hooks",
        "https://[2606:2800:220:1::]/hooks",
        "https://localhost/",  # names are looked up when something is sent
    ],
)
def test_url_that_webhooks_may_have_is_taken(url: str) -> None:
    assert url_error(url, ()) is None


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", LIKE),
        ("crm.example.com", LIKE),
        ("ftp://crm.example.com", LIKE),
        ("file:///etc/passwd", LIKE),
        ("HTTPS://crm.example.com", LIKE),
        ("https://", LIKE),
        ("https:///hooks", LIKE),
        ("https://crm.example.com/a b", LIKE),
        ("https://crm.example.com/\n", LIKE),
        ("https://crm.example.com/\0", LIKE),
        ("https://crm.example.com#there", LIKE),
        ("https://crm.example.com\\@10.0.0.1/", LIKE),
        ("https://bücher.example", LIKE),
        ("https://crm.example.com:99999", LIKE),
        ("https://crm.example.com:port", LIKE),
        ("https://[::1", LIKE),
        ("https://crm.example.com/" + "x" * LONGEST_URL, LIKE),
        ("https://crm:pw@crm.example.com", PASSWORD),
        ("https://crm@crm.example.com", PASSWORD),
        ("https://crm.example.com:25", PORT),
        ("https://crm.example.com:0", PORT),
        ("http://crm.example.com", HTTPS),
        ("https://10.0.0.1", PUBLIC),
        ("https://127.0.0.1:8443", PUBLIC),
        ("https://[::1]", PUBLIC),
        ("https://[::ffff:169.254.169.254]", PUBLIC),
    ],
)
def test_url_that_webhooks_may_not_have_is_refused_with_the_remedy(url: str, error: str) -> None:
    assert url_error(url, ()) == error


def test_url_into_a_network_that_the_operator_named_is_taken() -> None:
    for url in ("http://10.1.2.3:8080/hooks", "https://[fd00::1]/", "http://crm.internal/"):
        assert url_error(url, INSIDE) is None
    for url in ("http://192.168.0.1/", "https://127.0.0.1/", "http://93.184.216.34/"):
        assert url_error(url, INSIDE) == PUBLIC


PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "::", "::1", "::10.0.0.1", "::ffff:10.0.0.1",
    "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:db8::1", "2002:0a00:0001::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
OPEN = ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::1111", "2002:0808:0808::1"]


@pytest.mark.parametrize("text", PRIVATE)
def test_webhooks_lead_to_no_private_address(text: str) -> None:
    address = ip_address(text)
    assert [may_lead_to(scheme, address, ()) for scheme in ("https", "http")] == [False, False]


@pytest.mark.parametrize("text", OPEN)
def test_webhooks_lead_to_public_addresses_by_https_only(text: str) -> None:
    address = ip_address(text)
    assert [may_lead_to(scheme, address, INSIDE) for scheme in ("https", "http")] == [True, False]


@pytest.mark.parametrize("text", ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "fd12::1"])
def test_webhooks_lead_into_named_networks_by_both(text: str) -> None:
    address = ip_address(text)
    assert [may_lead_to(scheme, address, INSIDE) for scheme in ("https", "http")] == [True, True]
