"""The parts of the benchmark that are right or wrong; what they measure is no matter of tests."""

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from bench import kernel, report
from bench.compare import events
from bench.data import DAYS, FULL, meeting
from bench.load import Poll, plan, zipf
from bench.report import Results
from bench.rows import Found

LOCKS = sorted(Path("bench").glob("**/requirements.txt"))
RESULTS = Results("make bench", 1_000, [], [], [], 0.5)


def test_polls_are_always_picked_in_the_same_order() -> None:
    assert zipf(1_000) == zipf(1_000)


def test_link_is_polled_more_often_the_nearer_it_stands_to_the_first() -> None:
    counts = Counter(zipf(1_000))
    tens = [sum(counts[rank] for rank in range(start, start + 10)) for start in (0, 10, 100, 900)]
    assert all(more > fewer for more, fewer in pairwise(tens))
    assert 1.8 < counts[0] / counts[1] < 2.2


def test_plan_has_its_order_and_then_each_request_once() -> None:
    polls = [Poll("/feeds/a.ics"), Poll("/feeds/b.ics", {"If-None-Match": '"1"'})]
    order, first, second, end = plan(polls).split(b"\0")
    assert set(order.split()) == {b"1", b"2"}
    assert first.startswith(b"GET /feeds/a.ics HTTP/1.1\r\n")
    assert first.endswith(b"\r\n\r\n")
    assert b'\r\nIf-None-Match: "1"\r\n' in second
    assert end == b""


def test_meeting_is_always_the_same_and_others_differ() -> None:
    assert meeting("team-1", 7) == meeting("team-1", 7)
    titles = {meeting(calendar, number)["location"] for calendar in ("team-1", "team-2") for number in range(50)}
    assert len(titles) == 100


def test_meetings_are_on_days_that_every_link_shows() -> None:
    times = [datetime.fromisoformat(meeting("team-1", number)["startsAt"]) for number in range(500)]
    days = [(time - datetime.now(time.tzinfo)).days for time in times]
    assert min(DAYS) - 1 <= min(days) < 0 < max(days) <= max(DAYS) + 1


def test_events_are_read_with_what_all_programs_must_say_alike() -> None:
    lines = ["UID:1", "SUMMARY:Viewing\\, with Ana", "LOCATION:Pier 4", "DTSTART:20990302T100000Z"]
    event = "\r\n".join(["BEGIN:VEVENT", *lines, "DTEND:20990302T110000Z", "END:VEVENT"])
    ics = f"BEGIN:VCALENDAR\r\n{event}\r\nEND:VCALENDAR\r\n"
    start, end = (datetime.fromisoformat(f"2099-03-02T{hour}:00:00+00:00") for hour in (10, 11))
    assert events(ics.encode()) == {"1": ("1", "Viewing, with Ana", "Pier 4", start, end)}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_process_is_measured_with_its_children() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        pids = [*kernel.tree(os.getpid())]
        peak, alone = kernel.peak(os.getpid()), kernel.peak(child.pid)
        child.kill()
    assert pids[0] == os.getpid()
    assert child.pid in pids
    assert peak > alone > 0


@pytest.mark.parametrize(("value", "at_most", "met"), [(0.9, False, True), (0.8, False, False), (0.8, True, True)])
def test_row_is_met_on_its_side_of_the_target(value: float, at_most: bool, met: bool) -> None:
    assert Found("304", value, "×", 0.85, at_most=at_most).met is met


def test_report_says_which_rows_are_met() -> None:
    rows = [Found("fast", 0.9, "×", 0.85, at_most=False, beside="9/s"), Found("small", 12.0, "ms", 10, at_most=True)]
    text = report.targets(rows)
    assert "| fast | at least 0.85 × | 0.9 × | yes |" in text
    assert "| small | at most 10 ms | 12 ms | **no** |" in text
    assert "- fast: 9/s" in text


def test_report_without_measurements_has_no_pictures() -> None:
    assert report.charts(RESULTS) == {}
    assert report.peers(RESULTS) == report.growth(RESULTS) == report.latency(RESULTS) == ""


def test_all_sizes_that_are_compared_are_there() -> None:
    assert set(FULL.compared) <= set(FULL.sizes)


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_environment_is_locked_with_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    packages = re.findall(r"^[^\s#]+==[^\\]*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert packages
    assert len(packages) == len(re.findall(r"^[^\s#]", text, re.MULTILINE))
    assert "://" not in text
