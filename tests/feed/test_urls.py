"""Addresses short and plain enough for every calendar program."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from feed.tokens import FeedToken, Keyring
from feed.urls import LONGEST_PUBLIC_URL, feed_url, file_name, qr_code_svg, subscribe_links, webcal_url

URL = "https://feeds.example.com/feeds/cf1_abc/Sales-team.ics"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sales team", "Sales-team.ics"),
        ("Müller & Söhne, GmbH", "Muller-Sohne-GmbH.ics"),
        ("佐藤 美咲", "Calendar.ics"),
        ("../../etc/passwd", "etc-passwd.ics"),
        ("a" * 100, "a" * 56 + ".ics"),
        (None, "Calendar.ics"),
    ],
)
def test_file_name_is_ascii_and_short(name: str | None, expected: str) -> None:
    assert file_name(name) == expected


def test_longest_url_has_200_plain_characters() -> None:
    key_id, biggest = "k" * 8, UUID(int=2**128 - 1)
    token = Keyring.parse(f"{key_id}:{'x' * 32}").sign(FeedToken(key_id, biggest, biggest, 2**32 - 1))
    public_url = "https://" + "h" * (LONGEST_PUBLIC_URL - len("https://"))
    url = feed_url(public_url, token, "A calendar with quite a long name " * 5)
    assert len(url) <= 200
    assert re.fullmatch(r"https://h+/feeds/[A-Za-z0-9_-]+/A-calendar[A-Za-z-]*\.ics", url)


def test_deep_links_carry_the_whole_url() -> None:
    links = subscribe_links(URL, "Sales & more")
    assert links["apple"] == webcal_url(URL) == "webcal://feeds.example.com/feeds/cf1_abc/Sales-team.ics"
    assert parse_qs(urlsplit(links["google"]).query) == {"cid": [webcal_url(URL)]}
    for name in ("outlook", "outlook_office"):
        assert parse_qs(urlsplit(links[name]).query) == {"url": [URL], "name": ["Sales & more"]}


def test_qr_code_is_an_svg_element() -> None:
    assert qr_code_svg(URL).startswith("<svg ")
