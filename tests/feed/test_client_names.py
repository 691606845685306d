"""Names of calendar programs: User-Agents as they were seen, each with its name written down by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.clients import CLOUD_NAMES, NAMES, client_name

SEEN = {
    "Google-Calendar-Importer": "Google Calendar",
    "Mozilla/5.0 (compatible; Google-Calendar-Importer)": "Google Calendar",
    "iOS/17.5.1 (21F90) dataaccessd/1.0": "Apple Calendar (iOS)",
    "iOS/14.0.1 (18A393) dataaccessd/1.0": "Apple Calendar (iOS)",
    "iOS/11.0 (15A372) dataaccessd/1.0": "Apple Calendar (iOS)",
    "macOS/15.2 (24C101) dataaccessd/1.0": "Apple Calendar (macOS)",
    "macOS/14.6.1 (23G93) dataaccessd/1.0": "Apple Calendar (macOS)",
    "macOS/13.0 (22A380) dataaccessd/1.0": "Apple Calendar (macOS)",
    "macOS/11.0 (20A5343i) CalendarAgent/950": "Apple Calendar (macOS)",
    "Mac OS X/10.8 (12A269) CalendarAgent/47": "Apple Calendar (macOS)",
    "Mac_OS_X/10.9 (13A603) CalendarAgent/174": "Apple Calendar (macOS)",
    "Mac+OS+X/10.10 (14A389) CalendarAgent/315": "Apple Calendar (macOS)",
    "CalendarStore/5.0 (1127); iCal/5.0 (1535); Mac OS X/10.7.1 (11B26)": "Apple Calendar (macOS)",
    "DAVKit/4.0.3 (732); CalendarStore/4.0.4 (997); iCal/4.0.4 (1395); Mac OS X/10.6.8": "Apple Calendar (macOS)",
    "iOS/15.2 (24C101) remindd/1203": "Apple Reminders",
    "Microsoft.Exchange/15.20 (Windows NT 10.0; Win64; x64)": "Microsoft 365 / Outlook.com",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17126; Pro)": "Outlook classic (Windows)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; ms-office; MSOffice 16)": "Outlook classic (Windows)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Thunderbird/128.5.1": "Thunderbird",
    "Mozilla/5.0 (X11; Linux x86_64; rv:52.0) Gecko/20100101 Thunderbird/52.9.1 Lightning/5.4.9": "Thunderbird",
    "Nextcloud Webcal Service": "Nextcloud",
    "Nextcloud Webcal Crawler": "Nextcloud",
    "NextCloud (Android 16) like Chrome/30": "Nextcloud",
    "HomeAssistant/2025.1.0 httpx/0.28.1 Python/3.13": "Home Assistant",
    "ICSx5/2.2.4 (ical4j/3.2.19 okhttp/4.12.0 Android/14)": "ICSx5 (Android)",
    "DAVx5/4.4.4-ose (dav4jvm; okhttp/4.12.0) Android/8.1.0": "DAVx5 (Android)",
    "org.tasks/14.1 (okhttp3) Android/14": "Tasks.org (Android)",
    "vdirsyncer/0.19.3": "vdirsyncer",
    "Evolution/3.46.4": "Evolution / GNOME Calendar",
    "open-web-calendar": "Open Web Calendar",
    "eMClient/10.1.4588.0": "eM Client",
    "MSFT-WIN-3/10.0.19041": "Windows 10 Mail & Calendar",
    "akonadi/22.12.3": "KDE (KOrganizer/Kalendar)",
    "BusyCal-2024.3.2": "BusyCal",
    "node": "Node.js",
    "curl/7.54": "curl",
    "python-requests/2.32.3": "HTTP library",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36": "Browser",
    "node-fetch": "Other",
    "Browser": "Other",
    "": "Other",
}
HOSTILE = [
    "Mozilla/5.0 " * 100_000,
    "iOS/" + "x" * 1_000_000,
    "macOS/x " + "dataaccessd" * 100_000,
    "Mac OS X/" * 100_000,
    "\N{COMBINING ACUTE ACCENT}" * 1_000_000,
]


@pytest.mark.parametrize("user_agent", SEEN)
def test_user_agent_that_was_seen_has_the_name_of_its_program(user_agent: str) -> None:
    assert client_name(user_agent) == SEEN[user_agent]


def test_poll_without_user_agent_is_another_program() -> None:
    assert client_name(None) == "Other"


def test_programs_whose_provider_polls_are_in_the_cloud() -> None:
    assert sorted(CLOUD_NAMES) == [
        "Google Calendar",
        "Microsoft 365 / Outlook.com",
        "Nextcloud",
        "Open Web Calendar",
        "icalendar.org validator",
    ]


@given(st.one_of(st.text(), st.builds("{}{}".format, st.sampled_from(list(SEEN)), st.text())))
def test_name_is_one_of_those_known_whatever_the_user_agent(user_agent: str) -> None:
    assert client_name(user_agent) in NAMES


def test_what_stands_after_three_hundred_characters_is_not_looked_at() -> None:
    assert client_name("x" * 276 + "Google-Calendar-Importer") == "Google Calendar"
    assert client_name("x" * 277 + "Google-Calendar-Importer") == "Other"


@pytest.mark.parametrize("user_agent", HOSTILE, ids=[text[:9] for text in HOSTILE])
def test_hostile_user_agent_costs_little(user_agent: str) -> None:
    began = time.process_time()
    for place in range(100):
        client_name(f"{user_agent[: 200 + place]}{place}")
    assert time.process_time() - began < 1
