"""Text as calendar programs can take it: cleaned of what breaks them, escaped as RFC 5545 wants it."""

import re

from icalendar import vText

LINE_BREAKS = re.compile("\r\n|[\r\u0085\u2028\u2029]")
# Control characters other than tab and line feed, byte order marks, non-characters and lone surrogates.
REMOVED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
ESCAPES = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


def clean(value: str) -> str:
    """The text with plain line feeds and without characters that some calendar program refuses a whole feed for."""
    return REMOVED.sub("", LINE_BREAKS.sub("\n", value))


def shortened(value: str, longest: int) -> str:
    """The clean text, cut to so many characters."""
    text = clean(value)
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


class Text(vText):
    r"""A TEXT value (RFC 5545, section 3.3.11), cleaned, and escaped in one pass: icalendar's own chain of replacements
    takes the `\N` of `C:\New folder` for a line break.
    """

    def __new__(cls, value: str) -> "Text":
        return super().__new__(cls, clean(value))

    def to_ical(self) -> bytes:
        return str(self).translate(ESCAPES).encode()
