"""Which calendar program polls, by its User-Agent.

For statistics and hints to users only: a User-Agent can be anything, so nobody is let in or kept out by it. Whatever it
is, its name is one of those below.
"""

import re
from functools import lru_cache
from typing import NamedTuple

OTHER = "Other"
NO_WEIGHT = re.compile(r"q=0(\.0*)?")
LONGEST_USER_AGENT = 300  # characters that are looked at


class Client(NamedTuple):
    pattern: str
    name: str
    in_cloud: bool = False  # a provider's servers poll, so their networks say nothing of who holds the link
    bears_gzip: bool = True  # not reported to fail on it


# The first that matches. Yahoo, Fastmail and Proton poll by User-Agents that are not known.
CLIENTS = (
    Client(r"Google-Calendar-Importer", "Google Calendar", in_cloud=True),
    Client(r"^Microsoft\.Exchange/", "Microsoft 365 / Outlook.com", in_cloud=True, bears_gzip=False),
    Client(r"^MSFT-WIN-\d", "Windows 10 Mail & Calendar", bears_gzip=False),
    Client(r"CalDavSynchronizer/", "Outlook CalDav Synchronizer"),
    Client(
        r"Microsoft Outlook|ms-office|MSOffice \d|^Microsoft Office/", "Outlook classic (Windows)", bears_gzip=False
    ),
    Client(r"\bremindd/", "Apple Reminders"),
    Client(r"^(?:iOS|iPadOS)/\S+ .*dataaccessd/", "Apple Calendar (iOS)"),
    Client(r"^(?:macOS|[Mm]ac[ _+]OS[ _+]X)/\S+ .*(?:dataaccessd|CalendarAgent)/", "Apple Calendar (macOS)"),
    Client(r"CalendarStore/|\biCal/\d", "Apple Calendar (macOS)"),
    Client(r"CoreDAV/|\baccountsd/|ICSAgent", "Apple (other daemon)"),
    Client(r"\b(?:Thunderbird|Lightning|Iceowl)/", "Thunderbird"),
    Client(r"^Nextcloud Webcal (?:Service|Crawler)|^NextCloud \(Android", "Nextcloud", in_cloud=True),
    Client(r"^HomeAssistant/", "Home Assistant"),
    Client(r"^ICSx5/", "ICSx5 (Android)"),
    Client(r"^(?:DAVx5|DAVdroid)/", "DAVx5 (Android)"),
    Client(r"org\.tasks/", "Tasks.org (Android)"),
    Client(r"^vdirsyncer/", "vdirsyncer"),
    Client(r"^Evolution/", "Evolution / GNOME Calendar"),
    Client(r"^open-web-calendar", "Open Web Calendar", in_cloud=True),
    Client(r"e[Mm] ?Client/", "eM Client"),
    Client(r"^BusyCal-", "BusyCal"),
    Client(r"Fantastical", "Fantastical"),
    Client(r"akonadi|\bKIO/|Konqueror/", "KDE (KOrganizer/Kalendar)"),
    Client(r"Zap Calendar", "icalendar.org validator", in_cloud=True),
    Client(r"^(?:node|undici)$", "Node.js"),
    Client(r"^curl/", "curl"),
    Client(
        r"^(?:python-requests|python-httpx|Python/|Go-http-client|okhttp|axios|GuzzleHttp|Java|Wget)",
        "HTTP library",
    ),
    Client(r"Mozilla/5\.0 .*(?:Chrome|Firefox|Safari)/", "Browser"),
)
NAMES = frozenset({OTHER, *(client.name for client in CLIENTS)})
CLOUD_NAMES = frozenset(client.name for client in CLIENTS if client.in_cloud)
WITHOUT_GZIP = frozenset(client.name for client in CLIENTS if not client.bears_gzip)
PATTERNS = [(re.compile(client.pattern), client.name) for client in CLIENTS]


def client_name(user_agent: str | None) -> str:
    """One of `NAMES`."""
    return _name((user_agent or "")[:LONGEST_USER_AGENT])


@lru_cache(maxsize=1_024)
def _name(user_agent: str) -> str:
    return next((name for pattern, name in PATTERNS if pattern.search(user_agent)), OTHER)


@lru_cache(maxsize=1_024)
def takes_gzip(accept_encoding: str | None, user_agent: str | None) -> bool:
    """Whether to send gzip: where it is asked for (RFC 9110, section 12.5.3), and never to who may fail on it."""
    for coding in (accept_encoding or "").lower().split(","):
        name, _, weight = coding.replace(" ", "").partition(";")
        if name == "gzip":
            return not NO_WEIGHT.fullmatch(weight) and client_name(user_agent) not in WITHOUT_GZIP
    return False
