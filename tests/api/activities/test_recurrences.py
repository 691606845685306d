"""Series as integrators say them: whatever is accepted can be rendered, in every feed."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from threading import Thread
from time import thread_time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry import Some

from api.activities import recurrences as trying
from api.activities.inputs import (
    ActivityInput,
    ActivityPriority,
    ActivityStatus,
    OccurrenceOverrideInput,
    ParticipantInput,
    RecurrenceInput,
)
from api.activities.merging import Names, There, merged
from api.activities.recurrences import Kept, check_all
from api.activities.values import Mistakes
from api.errors import Refused
from api.links.options import ActivityType
from db.activities import Activity, ActivityRecord
from feed.options import MOST_DAYS, FeedOptions
from feed.recurring.series import occurrences
from feed.render import fragment
from feed.style import Shown, Style
from feed.window import Window, zone_of
from feed.words import words

NOW = datetime(2026, 3, 9, 9, tzinfo=UTC)
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Africa/Cairo",
    "UTC",
    "Etc/GMT+12",
    "Australia/Lord_Howe",
]
FREQUENCIES = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]
NUMBERS = {
    "COUNT": (1, 2_000),
    "INTERVAL": (1, 120),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-5, 5),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
}


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Absent, null, or one of the values."""
    return st.none() | st.builds(Some, st.none() | values)


@st.composite
def rules(draw: st.DrawFn) -> str:
    parts = [f"FREQ={draw(st.sampled_from(FREQUENCIES))}"]
    for name in draw(st.lists(st.sampled_from(sorted(NUMBERS)), max_size=3, unique=True)):
        most = 1 if name in ("COUNT", "INTERVAL") else 3
        numbers = draw(st.lists(st.integers(*NUMBERS[name]), min_size=1, max_size=most))
        parts.append(f"{name}={','.join(map(str, numbers))}")
    if draw(st.booleans()):
        days = draw(st.lists(st.sampled_from(["MO", "TU", "1WE", "-1FR", "5SU"]), min_size=1, max_size=3))
        parts.append(f"BYDAY={','.join(days)}")
    if draw(st.integers(0, 4)) == 0:
        parts.append(f"UNTIL={draw(st.sampled_from(['20270101', '20260601T120000Z', '19990101T000000']))}")
    return ";".join(parts)


days = st.dates(date(2024, 1, 1), date(2028, 1, 1)) | st.dates(date(2, 1, 1), date(9998, 12, 31))
moments = st.builds(datetime.combine, days, st.times(), st.just(UTC))
words_ = st.text(max_size=20)
people = st.lists(st.builds(ParticipantInput, name=st.none() | words_, email=st.none() | st.just("a@b.c")), max_size=3)
overrides = st.builds(
    OccurrenceOverrideInput,
    occurrence=days | moments,
    starts_at=st.none() | moments,
    ends_at=st.none() | moments,
    starts_on=st.none() | days,
    ends_on=st.none() | days,
    due_at=st.none() | moments,
    due_on=st.none() | days,
    status=maybe(st.sampled_from(ActivityStatus)),
    title=maybe(words_),
    description=maybe(words_),
    location=maybe(words_),
    url=maybe(st.just("https://crm.example/1")),
    priority=maybe(st.sampled_from(ActivityPriority)),
    participants=maybe(people),
    private=maybe(st.booleans()),
)
recurrences = st.builds(
    RecurrenceInput,
    rule=rules(),
    exdates=st.none() | st.lists(days | moments, max_size=3),
    overrides=st.none() | st.lists(overrides, max_size=3),
)


@st.composite
def series(draw: st.DrawFn) -> ActivityInput:
    """Of times that are in order more often than not."""
    times: dict[str, Any] = {}
    if draw(st.booleans()):
        starts_at = draw(moments)
        times = {"starts_at": starts_at, "ends_at": draw(st.none() | st.just(starts_at + timedelta(minutes=90)))}
    elif draw(st.booleans()):
        starts_on = draw(days)
        times = {"starts_on": starts_on, "ends_on": draw(st.none() | st.just(starts_on + timedelta(days=2)))}
    kind = draw(st.sampled_from(ActivityType))
    if kind is ActivityType.TASK:
        name = draw(st.sampled_from(["due_at", "due_on"]))
        times[name] = draw(moments if name == "due_at" else days)
    names = [
        name for name in ActivityInput.__dataclass_fields__ if name not in ("external_id", "calendar_external_ids")
    ]
    fields: dict[str, Any] = dict.fromkeys(names) | {name: Some(when) for name, when in times.items() if when}
    fields |= {"type": kind, "title": draw(words_), "recurrence": Some(draw(recurrences))}
    fields |= {"time_zone": draw(maybe(st.sampled_from(ZONES))), "private": draw(maybe(st.booleans()))}
    return ActivityInput(external_id="s1", calendar_external_ids=["team"], **fields)


def accepted(given_: ActivityInput) -> Activity | None:
    names = Names({}, {"team": uuid4()})
    try:
        (placement,) = merged([given_], names, There([], {}), NOW, Mistakes())
    except Refused:
        return None
    return placement.activity


def test_series_of_no_occurrence_at_all_is_not_accepted() -> None:
    rule = "FREQ=HOURLY;BYHOUR=0;INTERVAL=3"  # from one o'clock on
    said: dict[str, Any] = dict.fromkeys(field.name for field in fields(ActivityInput))
    said |= {"external_id": "s1", "calendar_external_ids": ["team"], "type": ActivityType.MEETING}
    said["starts_at"] = Some(datetime(2024, 1, 1, 1, tzinfo=UTC))
    said["recurrence"] = Some(RecurrenceInput(rule=rule, exdates=None, overrides=None))
    assert accepted(ActivityInput(**said)) is None


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=60)
@given(series())
def test_accepted_series_can_be_rendered(given_: ActivityInput) -> None:
    activity = accepted(given_)
    if activity is None or activity.recurrence is None:
        return
    record = ActivityRecord(id=uuid4(), revision=0, created_at=NOW, changed_at=NOW, **vars_of(activity))
    window = Window.around(NOW, zone_of("Europe/Berlin"), 5, 30)
    for shown in (Shown(own=True), Shown(busy=True)):
        for options in (FeedOptions(), FeedOptions(tasks_as="TODO", cancelled="MARK")):
            fragment(record, Style(options, words("en"), window), shown)


def vars_of(activity: Activity) -> dict[str, Any]:
    return {name: getattr(activity, name) for name in Activity.__dataclass_fields__}


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=30)
@given(series())
def test_accepted_series_fits_the_widest_window(given_: ActivityInput) -> None:
    activity = accepted(given_)
    if activity is not None and activity.recurrence is not None:
        occurrences(activity.recurrence, Window.around(NOW, zone_of("Asia/Tokyo"), MOST_DAYS, MOST_DAYS))


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=30)
@given(series())
def test_series_said_again_is_the_same(given_: ActivityInput) -> None:
    first, second = accepted(given_), accepted(given_)
    assert first == second


def test_series_are_accepted_and_refused() -> None:
    """So that the tests above can fail."""
    rule = RecurrenceInput(rule="FREQ=DAILY")
    names = dict.fromkeys(ActivityInput.__dataclass_fields__)
    said = {**names, "external_id": "s1", "calendar_external_ids": ["team"], "type": ActivityType.MEETING, "title": "x"}
    assert accepted(ActivityInput(**{**said, "starts_at": Some(NOW), "recurrence": Some(rule)})) is not None  # type: ignore[arg-type]
    assert accepted(ActivityInput(**{**said, "recurrence": Some(rule)})) is None  # type: ignore[arg-type]


def test_what_other_threads_do_meanwhile_is_no_work_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "TRIAL_SECONDS", 0.1)

    def work() -> None:
        until = thread_time() + 0.2
        while thread_time() < until:
            pass

    def meanwhile(kept: Kept, mistakes: Mistakes) -> Iterator[tuple[Kept, Mistakes]]:
        other = Thread(target=work)
        other.start()
        other.join()
        yield kept, mistakes

    mistakes = Mistakes()
    lists: Kept = {name: [] for name in ("exclusion_rules", "dates", "excluded_dates", "overrides")}
    kept = {"zone": "UTC", "starts": "2026-03-02T09:30:00+00:00", "rules": ["FREQ=DAILY"], **lists}
    check_all(meanwhile(kept, mistakes), NOW)
    assert mistakes.found == []
