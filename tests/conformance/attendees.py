"""Whom the readers find invited to the one event of a feed: name, answer and address."""

from collections.abc import Callable
from ctypes import c_char_p, c_int, c_void_p
from typing import Any
from urllib.parse import unquote

import icalendar
from ical.calendar_stream import IcsCalendarStream

from db.activities import ActivityRecord
from tests.conformance import libical
from tests.conformance.feeds import has_address, one_line, shortened

Invited = tuple[str, str, str]
ANSWERS = ("ACCEPTED", "DECLINED", "TENTATIVE")


def invited(one: ActivityRecord) -> list[Invited]:
    """Whom the activity names; a name is read without backslashes, at which readers differ."""
    return [
        (
            shortened(one_line((person.name or "").replace("\\", "")), 1_000),
            person.response if person.response in ANSWERS else "NEEDS-ACTION",
            f"mailto:{person.email}",
        )
        for person in one.participants
        if has_address(person)
    ]


def read_with_icalendar(ics: bytes) -> list[Invited]:
    (event,) = icalendar.Calendar.from_ical(ics).events
    return [said(one.params.get("CN"), one.params.get("PARTSTAT"), str(one)) for one in event.attendees]


def read_with_ical(ics: bytes) -> list[Invited]:
    (event,) = IcsCalendarStream.calendar_from_ics(ics.decode()).events
    return [said(one.common_name, one.status, str(one.uri)) for one in event.attendees]


FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what they give, what they take
    "icalparameter_string_to_kind": (c_int, c_char_p),
    "icalproperty_get_first_parameter": (c_void_p, c_void_p, c_int),
    "icalproperty_get_parameter_as_string": (c_char_p, c_void_p, c_char_p),
    "icalparameter_get_cn": (c_char_p, c_void_p),
}
lib = libical.lib
for function, (gives, *takes) in FUNCTIONS.items():
    getattr(lib, function).restype, getattr(lib, function).argtypes = gives, takes


def read_with_libical(ics: bytes) -> list[Invited]:
    with libical._parsed(ics) as calendar:
        (event,) = libical._components(calendar, "VEVENT")
        return [libical_attendee(pointer) for pointer in libical._properties(event, "ATTENDEE")]


def libical_attendee(pointer: int) -> Invited:
    name = lib.icalproperty_get_first_parameter(pointer, lib.icalparameter_string_to_kind(b"CN"))
    answer = lib.icalproperty_get_parameter_as_string(pointer, b"PARTSTAT")
    address = lib.icalproperty_get_value_as_string(pointer)
    return said(name and lib.icalparameter_get_cn(name).decode(), answer and answer.decode(), address.decode())


def said(name: str | None, answer: str | None, address: str) -> Invited:
    return name or "", answer or "", unquote(address)


ATTENDEE_READERS: dict[str, Callable[[bytes], list[Invited]]] = {
    "icalendar": read_with_icalendar,
    "ical": read_with_ical,
    "libical": read_with_libical,
}
