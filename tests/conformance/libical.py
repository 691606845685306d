"""libical, the parser of Evolution and GNOME Calendar, through ctypes: it needs no compiler and no process."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from datetime import UTC, datetime
from typing import Any

from tests.conformance.reading import Component, OccurrenceRead, Reading, moment, reading


class Time(Structure):
    """struct icaltimetype"""

    _fields_ = (
        *((name, c_int) for name in ("year", "month", "day", "hour", "minute", "second", "is_date", "is_daylight")),
        ("zone", c_void_p),
    )


class Span(Structure):
    """struct icaltime_span, in seconds since 1970"""

    _fields_ = (("start", c_int64), ("end", c_int64), ("is_busy", c_int))


ON_OCCURRENCE = CFUNCTYPE(None, c_void_p, POINTER(Span), c_void_p)
FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what they give, what they take
    "icalparser_parse_string": (c_void_p, c_char_p),
    "icalcomponent_free": (None, c_void_p),
    "icalcomponent_as_ical_string": (c_char_p, c_void_p),  # it marks what it could not read with X-LIC-ERROR
    "icalcomponent_count_errors": (c_int, c_void_p),
    "icalcomponent_string_to_kind": (c_int, c_char_p),
    "icalcomponent_get_first_component": (c_void_p, c_void_p, c_int),
    "icalcomponent_get_next_component": (c_void_p, c_void_p, c_int),
    "icalcomponent_get_first_property": (c_void_p, c_void_p, c_int),
    "icalcomponent_get_next_property": (c_void_p, c_void_p, c_int),
    "icalcomponent_get_sequence": (c_int, c_void_p),
    "icalcomponent_get_dtstart": (Time, c_void_p),
    "icalcomponent_get_dtend": (Time, c_void_p),
    "icalcomponent_get_due": (Time, c_void_p),
    "icalcomponent_foreach_recurrence": (None, c_void_p, Time, Time, ON_OCCURRENCE, c_void_p),
    "icalproperty_string_to_kind": (c_int, c_char_p),
    "icalproperty_get_datetime_with_component": (Time, c_void_p, c_void_p),
    "icalproperty_get_value": (c_void_p, c_void_p),
    "icalproperty_get_value_as_string": (c_char_p, c_void_p),
    "icalproperty_get_x_name": (c_char_p, c_void_p),
    "icalvalue_get_text": (c_char_p, c_void_p),
    "icalvalue_get_x": (c_char_p, c_void_p),
    "icaltime_convert_to_zone": (Time, Time, c_void_p),
    "icaltime_from_timet_with_zone": (Time, c_int64, c_int, c_void_p),
    "icaltimezone_get_utc_timezone": (c_void_p,),
}


def load() -> ctypes.CDLL:
    library = ctypes.CDLL("libical.so.3")
    for name, (gives, *takes) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = gives, takes
    return library


lib = load()


def read(ics: bytes, starts: datetime, ends: datetime) -> Reading:
    with _parsed(ics) as calendar:
        read = {p: _component(p, name) for name in ("VEVENT", "VTODO") for p in _components(calendar, name)}
        return reading(_name(calendar), read.values(), _occurrences(read, starts, ends), starts, ends)


@contextmanager
def _parsed(ics: bytes) -> Iterator[int]:
    calendar = lib.icalparser_parse_string(ics)
    if not calendar:
        raise ValueError("libical reads no calendar")
    try:
        if errors := lib.icalcomponent_count_errors(calendar):
            raise ValueError(f"libical reads {errors} errors: {lib.icalcomponent_as_ical_string(calendar).decode()}")
        yield calendar
    finally:
        lib.icalcomponent_free(calendar)


def _components(calendar: int, name: str) -> list[int]:
    kind = lib.icalcomponent_string_to_kind(name.encode())
    found = lib.icalcomponent_get_first_component(calendar, kind)
    return list(_until_null(found, lambda: lib.icalcomponent_get_next_component(calendar, kind)))


def _properties(component: int, name: str) -> list[int]:
    kind = lib.icalproperty_string_to_kind(name.encode())
    found = lib.icalcomponent_get_first_property(component, kind)
    return list(_until_null(found, lambda: lib.icalcomponent_get_next_property(component, kind)))


def _until_null(found: int | None, following: Any) -> Iterator[int]:
    while found:
        yield found
        found = following()


def _name(calendar: int) -> str:
    names = (p for p in _properties(calendar, "X") if lib.icalproperty_get_x_name(p) == b"X-WR-CALNAME")
    return "".join(lib.icalvalue_get_x(lib.icalproperty_get_value(p)).decode() for p in names)


def _component(pointer: int, name: str) -> Component:
    def texts(name: str) -> tuple[str, ...]:
        return tuple(lib.icalvalue_get_text(lib.icalproperty_get_value(p)).decode() for p in _properties(pointer, name))

    end = lib.icalcomponent_get_dtend(pointer) if name == "VEVENT" else lib.icalcomponent_get_due(pointer)
    return Component(
        uid="".join(texts("UID")),
        component=name,
        sequence=lib.icalcomponent_get_sequence(pointer),
        summary="".join(texts("SUMMARY")),
        description="".join(texts("DESCRIPTION")),
        location="".join(texts("LOCATION")),
        status="".join(lib.icalproperty_get_value_as_string(p).decode() for p in _properties(pointer, "STATUS")),
        categories=texts("CATEGORIES"),
        starts=_said(lib.icalcomponent_get_dtstart(pointer)),
        ends=_said(end),
        recurrence_id=_recurrence_id(pointer),
    )


def _recurrence_id(component: int) -> str | None:
    # icalcomponent_get_recurrenceid forgets the time zone.
    times = (
        lib.icalproperty_get_datetime_with_component(p, component) for p in _properties(component, "RECURRENCE-ID")
    )
    return next(map(_said, times), None)


def _said(time: Any) -> str | None:
    """None for the null time of what is not there."""
    if not time.year:
        return None
    zone = time.zone and lib.icaltimezone_get_utc_timezone()
    if zone:
        time = lib.icaltime_convert_to_zone(time, zone)
    at = datetime(time.year, time.month, time.day, time.hour, time.minute, time.second, tzinfo=UTC if zone else None)
    return moment(at.date() if time.is_date else at)


def _occurrences(read: dict[int, Component], starts: datetime, ends: datetime) -> Iterator[OccurrenceRead]:
    """libical leaves overrides to its caller: they stand for themselves, and what they replace is left out."""
    events = {pointer: event for pointer, event in read.items() if event.component == "VEVENT"}
    replaced = {(event.uid, event.recurrence_id) for event in events.values()}
    for pointer, event in events.items():
        if event.recurrence_id and event.starts and event.ends:
            yield OccurrenceRead(event.uid, event.starts, event.ends, event.summary)
            continue
        for span in _spans(pointer, starts, ends):
            start, end = (moment(at.date() if event.all_day else at) for at in span)
            if (event.uid, start) not in replaced:
                yield OccurrenceRead(event.uid, start, end, event.summary)


def _spans(event: int, starts: datetime, ends: datetime) -> list[tuple[datetime, datetime]]:
    spans = []

    def add(_component: Any, span: Any, _data: Any) -> None:
        spans.append((datetime.fromtimestamp(span.contents.start, UTC), datetime.fromtimestamp(span.contents.end, UTC)))

    lib.icalcomponent_foreach_recurrence(event, _time(starts), _time(ends), ON_OCCURRENCE(add), None)
    return spans


def _time(at: datetime) -> Any:
    return lib.icaltime_from_timet_with_zone(int(at.timestamp()), 0, lib.icaltimezone_get_utc_timezone())
