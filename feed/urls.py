"""The addresses of a link: what to copy, what to tap, what to scan."""

import re
import unicodedata
from urllib.parse import quote

import segno

from db.links import LinkRecord
from feed.tokens import FeedToken, Keyring

LONGEST_URL = 200  # characters; Google fails silently beyond 256
LONGEST_PUBLIC_URL = 80  # leaves room for the longest token and a readable name
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


def link_url(keyring: Keyring, public_url: str, link: LinkRecord, feed_name: str) -> str | None:
    """The link's private URL; None if the secret key that it is on was dropped, which ended it."""
    if link.key_id not in keyring:
        return None
    token = FeedToken(link.key_id, link.account_id, link.id, link.generation)
    return feed_url(public_url, keyring.sign(token), feed_name)


def feed_url(public_url: str, token: str, calendar_name: str) -> str:
    """`{public_url}/feeds/{token}/{Calendar-Name}.ics`, in ASCII and without a query string; the name is decoration."""
    start = f"{public_url}/feeds/{token}/"
    return start + file_name(calendar_name, LONGEST_URL - len(start))


def file_name(calendar_name: str | None, longest: int = 60) -> str:
    """ "Müller & Söhne" → "Muller-Sohne.ics", cut to `longest` characters."""
    letters = unicodedata.normalize("NFKD", calendar_name or "").encode("ascii", "ignore").decode()
    name = NOT_IN_NAMES.sub("-", letters).strip("-")[: longest - len(".ics")].rstrip("-")
    return f"{name or 'Calendar'}.ics"


def webcal_url(url: str) -> str:
    """The same address with the scheme that Apple's programs open as a subscription."""
    return re.sub("^https?:", "webcal:", url)


def subscribe_links(url: str, calendar_name: str) -> dict[str, str]:
    """Deep links that open each program's own way to subscribe, with the feed's address filled in."""
    escaped, name = quote(url, safe=""), quote(calendar_name, safe="")
    return {
        "google": f"https://calendar.google.com/calendar/r?cid={quote(webcal_url(url), safe='')}",
        "apple": webcal_url(url),
        "outlook": f"https://outlook.live.com/calendar/0/addfromweb?url={escaped}&name={name}",
        "outlook_office": f"https://outlook.office.com/calendar/0/addfromweb?url={escaped}&name={name}",
    }


def qr_code_svg(url: str) -> str:
    """An SVG element that a phone's camera reads as the address."""
    return segno.make(url, error="m", micro=False).svg_inline(scale=4, omitsize=True)
