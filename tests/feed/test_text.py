"""Text that comes out as it went in, whatever is in it, under parsers that are not ours."""

import ical.calendar_stream
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Event

from feed.document import Head, document
from feed.text import Text, clean

HEAD = b"BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260301T081500Z\r\nDTSTART:20260302T100000Z\r\nDTEND:20260302T110000Z\r\n"


def lines_of(text: str) -> bytes:
    event = Event()
    event.add("SUMMARY", Text(text))
    return bytes(event.to_ical()).removeprefix(b"BEGIN:VEVENT\r\n")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("C:\\New folder", b"C:\\\\New folder"),
        ("ends in \\", b"ends in \\\\"),
        ("a;b,c", b"a\\;b\\,c"),
        ("one\r\ntwo\rthree\u2028four\u2029five\u0085six", b"one\\ntwo\\nthree\\nfour\\nfive\\nsix"),
        ("BEGIN:VEVENT\nEND:VCALENDAR", b"BEGIN:VEVENT\\nEND:VCALENDAR"),
        ("bell\x07 null\x00 vt\x0b\x7f\x9f\ufeff\ufffe", b"bell null vt"),
        ("tab\tstays", b"tab\tstays"),
        ('"quoted": ^n', b'"quoted": ^n'),
    ],
)
def test_text_is_cleaned_and_escaped_once(text: str, octets: bytes) -> None:
    assert Text(text).to_ical() == octets


@given(st.text(max_size=300))
def test_any_text_is_folded_at_75_octets_and_never_inside_a_character(text: str) -> None:
    octets = lines_of(text)
    assert octets.endswith(b"\r\n")
    for line in octets.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=200))
def test_any_text_is_read_back_by_an_independent_parser(text: str) -> None:
    feed = document(Head(name="Feed", description=""), range(0), [HEAD + lines_of(text)]).decode()
    (event,) = ical.calendar_stream.IcsCalendarStream.calendar_from_ics(feed).events
    assert (event.summary or "") == clean(text)
