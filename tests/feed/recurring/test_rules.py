"""Walks compared with dateutil's own, which go on for ever and start at the start."""

from datetime import UTC, datetime, timedelta

from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.recurring.rules import Budget, TooDenseError, walk

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
FIRST = datetime(2020, 1, 1)  # noqa: DTZ001
LAST = datetime(2026, 1, 1)  # noqa: DTZ001


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules of all kinds that give something now and then: else dateutil would walk for minutes."""
    frequency = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    ordinals = ["", "1", "2", "-1"] if frequency in ("YEARLY", "MONTHLY") else [""]
    weekdays = st.tuples(st.sampled_from(ordinals), st.sampled_from(WEEKDAYS)).map("".join)
    parts = {
        "INTERVAL": st.integers(1, 5).map(str) if frequency != "MINUTELY" else st.sampled_from(["60", "1440", "720"]),
        "WKST": st.sampled_from(WEEKDAYS),
        "COUNT": st.integers(1, 2000).map(str),
        "UNTIL": st.datetimes(FIRST, LAST).map("{:%Y%m%dT%H%M%SZ}".format),
        "BYMONTH": values(st.integers(1, 12).map(str)),
        "BYMONTHDAY": values((st.integers(1, 28) | st.integers(-28, -1)).map(str)),
        "BYDAY": values(weekdays),
        "BYSETPOS": values(st.sampled_from(["1", "-1", "2"] if frequency in ("YEARLY", "MONTHLY") else ["1", "-1"])),
    }
    if frequency == "YEARLY":
        parts |= {"BYYEARDAY": values(st.integers(1, 366).map(str)), "BYWEEKNO": values(st.integers(1, 53).map(str))}
    if frequency not in ("HOURLY", "MINUTELY"):
        parts |= {"BYHOUR": values(st.integers(0, 23).map(str)), "BYMINUTE": values(st.sampled_from(["0", "30"]))}
    chosen = draw(st.lists(st.sampled_from(sorted(parts)), max_size=4, unique=True))
    if {"COUNT", "UNTIL"} <= set(chosen):
        chosen.remove("COUNT")
    if "MINUTELY" in frequency and "INTERVAL" not in chosen:
        chosen.append("INTERVAL")
    return ";".join([f"FREQ={frequency}", *(f"{name}={draw(parts[name])}" for name in chosen)])


def values(one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(one, min_size=1, max_size=3).map(",".join)


@settings(max_examples=250, deadline=None)
@given(rules(), st.datetimes(FIRST, LAST), st.datetimes(FIRST, LAST), st.integers(0, 900))
def test_a_walk_finds_what_dateutil_finds(rule: str, starts: datetime, first: datetime, days: int) -> None:
    starts, first = starts.replace(microsecond=0), first.replace(microsecond=0)
    last = first + timedelta(days=days)
    try:
        found = list(walk(rule, starts, UTC, first, last, Budget()))
    except TooDenseError:
        assert "COUNT" in rule or "MINUTELY" in rule or "HOURLY" in rule
        return
    expected = []
    for one in rrulestr(f"{rule};WKST=MO" if "WKST" not in rule else rule, dtstart=starts.replace(tzinfo=UTC)):
        if one.replace(tzinfo=None) > last:
            break
        if one.replace(tzinfo=None) >= first:
            expected.append(one.replace(tzinfo=None))
    assert found == expected
