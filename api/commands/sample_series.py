"""How an activity of the sample becomes a series."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from db.activities import Activity

NONE: Mapping[date, Activity] = {}


def repeated(
    first: Activity, rule: str, without: Collection[date] = (), changed: Mapping[date, Activity] = NONE
) -> Activity:
    """The activity as a series, in the shape that `feed.importing.recurrence` describes.

    It does not take place on the days `without`; on each day of `changed` the activity named there replaces it.
    """
    recurrence = {
        **_times(first),
        "rules": [rule],
        "exclusion_rules": [],
        "dates": [],
        "excluded_dates": [_start(first, day) for day in sorted(without)],
        "overrides": [_override(first, day, changed[day]) for day in sorted(changed)],
    }
    return replace(first, recurrence=recurrence)


def _override(series: Activity, day: date, instead: Activity) -> dict[str, Any]:
    """All that the occurrence of that day says: nothing is taken over from the series."""
    names = ("status", "title", "description", "location", "url")
    content = {name: value for name in names if (value := getattr(instead, name))}
    return {"recurrence_id": _start(series, day), **_times(instead), **content}


def _times(activity: Activity) -> dict[str, Any]:
    zone = ZoneInfo(activity.time_zone) if activity.time_zone else None
    return {"zone": activity.time_zone, **dict(_texts(activity, zone))}


def _texts(activity: Activity, zone: ZoneInfo | None) -> Iterator[tuple[str, str]]:
    starts, ends = activity.starts_at or activity.starts_on, activity.ends_at or activity.ends_on
    for name, when in (("starts", starts), ("ends", activity.due_at or activity.due_on or ends)):
        if when:
            yield name, (when.astimezone(zone) if isinstance(when, datetime) else when).isoformat()


def _start(series: Activity, day: date) -> str:
    """When the series' rule has it start on that day."""
    if series.starts_at is None or series.time_zone is None:
        return day.isoformat()
    zone = ZoneInfo(series.time_zone)
    return datetime.combine(day, series.starts_at.astimezone(zone).time(), zone).isoformat()
