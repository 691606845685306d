"""What an activity keeps of a series, as JSON: all that is needed to make every occurrence again without the file.

    {
      "zone": "Europe/Berlin",             IANA name of the clock it runs by; null if that has none, or it runs by days
      "definition": "BEGIN:VTIMEZONE…",    the VTIMEZONE, lines parted by line feeds, if the name does not say the same
      "starts": "2026-03-09T09:30:00+01:00",
      "ends": "2026-03-09T10:00:00+01:00", of a task: when it is due
      "duration": "PT30M",                 besides "ends", if the file gives that: DURATION is nominal, DTEND exact
      "rules": ["FREQ=WEEKLY;BYDAY=MO"],   RRULE
      "exclusion_rules": [],               EXRULE
      "dates": [{"starts": …, "ends": …, "duration": …}],       RDATE; ends and duration only of a PERIOD
      "excluded_dates": ["2026-04-06T09:30:00+02:00"],          EXDATE
      "overrides": [{                      components with a RECURRENCE-ID, each with all that replaces the occurrence
        "recurrence_id": "2026-03-30T09:30:00+02:00",
        "this_and_future": true,           only where RANGE=THISANDFUTURE
        "zone": …, "definition": …, "starts": …, "ends": …, "duration": …, like those of the series
        "status": "CANCELLED", "title": …, "description": …, "location": …, "url": …, "priority": …,
        "participants": [{"name": …, "email": …, "response": …}], "private": true
      }]
    }

A day is "2026-03-09", a moment has the offset from UTC that is in force then and there. Moments of the series are on
its clock: what stands before the offset is the time that rules count with, the whole is the instant, and a moment is
excluded or replaced if it is that instant. Where a day stands for an occurrence of a series of moments, it is every
one of that day by the clock of the series. UNTIL stands as in the file (RFC 5545, section 3.3.10); without a Z it is
on the clock of the series, and a day includes its moments. A rule with both UNTIL and COUNT, which that section
forbids, is kept with both and ends with whichever comes first, as dateutil reads it. A series without "starts", as
tasks may be, runs by its "ends". Keys without a value are left out, but for "zone" and the lists of the series. Lists
are sorted: the same series is the same JSON in whatever order its lines come.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from db.activities import Activity, Participant
from feed.importing.schedules import Schedule, Span, instant
from feed.importing.values import YEARS, When, parse_rule, parse_when
from feed.importing.vtimezones import DefinedZone
from feed.importing.zones import zone_name

# So far a series is looked at to say whether a name stands for its zone: one without an end, and any.
YEARS_AHEAD = 20
MOST_YEARS = 60


@dataclass(frozen=True, slots=True)
class Override:
    schedule: Schedule
    activity: Activity


def recurrence(schedule: Schedule, overrides: Sequence[Override]) -> dict[str, Any]:
    """The series in the shape that the module describes."""
    zone = _series_zone(schedule)
    years = _years(schedule, overrides)
    return {
        **_span(schedule.span, zone, years),
        "rules": sorted(schedule.rules),
        "exclusion_rules": sorted(schedule.exclusion_rules),
        "dates": _sorted(_filled(_times(span, zone)) for span in schedule.dates),
        "excluded_dates": sorted({_text(occurrence(schedule, when), zone) for when in schedule.excluded_dates}),
        "overrides": _sorted(_override(override, schedule, zone, years) for override in overrides),
    }


def _series_zone(schedule: Schedule) -> tzinfo | None:
    """The zone of the clock that a series runs by; None if it runs by days."""
    basis = _basis(schedule)
    return basis.tzinfo if isinstance(basis, datetime) else None


def _basis(schedule: Schedule) -> When | None:
    return schedule.span.starts or schedule.span.ends


def occurrence(schedule: Schedule, recurrence_id: When) -> When:
    """The RECURRENCE-ID or EXDATE as one of that series: a day if it runs by days, else an instant, or all of a day."""
    if not isinstance(recurrence_id, datetime):
        return recurrence_id
    runs_by_days = _basis(schedule) and _series_zone(schedule) is None
    return recurrence_id.date() if runs_by_days else instant(recurrence_id)


def _years(schedule: Schedule, overrides: Sequence[Override]) -> range:
    """From the first year of the series to its last, or for so long as it is looked at."""
    moments = [schedule.span.starts, schedule.span.ends, *(span.starts for span in schedule.dates)]
    for override in overrides:
        moments += [override.schedule.span.starts, override.schedule.recurrence_id]
    years = [when.year for when in moments if when is not None]
    untils = [parse_rule(rule).get("UNTIL") for rule in schedule.rules]
    years += [parse_when(until[0]).year if until else min(years) + YEARS_AHEAD for until in untils]
    return range(min(years), min(max(years), min(years) + MOST_YEARS, YEARS[-1]) + 1)


def _override(override: Override, series: Schedule, zone: tzinfo | None, years: range) -> dict[str, Any]:
    schedule, activity = override.schedule, override.activity
    assert schedule.recurrence_id is not None
    return {
        "recurrence_id": _text(occurrence(series, schedule.recurrence_id), zone),
        **_filled({"this_and_future": schedule.this_and_future}),
        **_span(schedule.span, _series_zone(schedule), years),
        **_content(activity),
    }


def _content(activity: Activity) -> dict[str, Any]:
    names = ("status", "title", "description", "location", "url", "priority", "private")
    participants = [_participant(participant) for participant in activity.participants]
    return _filled({name: getattr(activity, name) for name in names} | {"participants": participants})


def _participant(participant: Participant) -> dict[str, Any]:
    return _filled({name: getattr(participant, name) for name in ("name", "email", "response")})


def _span(span: Span, zone: tzinfo | None, years: range) -> dict[str, Any]:
    definition = zone.text if isinstance(zone, DefinedZone) and not zone.agrees(years) else None
    return {"zone": zone_name(zone), **_filled({"definition": definition}), **_filled(_times(span, zone))}


def _times(span: Span, zone: tzinfo | None) -> dict[str, Any]:
    ends = _text(span.ends, zone) if span.ends else None
    return {"starts": _text(span.starts, zone) if span.starts else None, "ends": ends, "duration": span.duration}


def _text(when: When, zone: tzinfo | None) -> str:
    return when.astimezone(zone or UTC).isoformat() if isinstance(when, datetime) else date.isoformat(when)


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _sorted(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorted by their text, that is by the first of their keys, each once."""
    texts = {json.dumps(item): item for item in items}
    return [texts[text] for text in sorted(texts)]
