"""Octets → components: content lines unfolded and split, each with its line in the file (RFC 5545, section 3.1).

Files are taken as they come: any line ends, byte order marks, lines that are not UTF-8, components that nobody ended.
What is wrong with one component is noted there as its fault and leaves the others alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

ACTIVITY_COMPONENTS = ("VEVENT", "VTODO", "VJOURNAL")
# Components that never stand inside another one: where one begins, whatever is open before it has lost its end.
OUTER_COMPONENTS = ("VCALENDAR", "VTIMEZONE", "VFREEBUSY", *ACTIVITY_COMPONENTS)

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A name, parameters in which quotes protect colons, a value; and the same without quotes that nobody closed.
LINE = re.compile(r'([A-Za-z0-9._-]+)((?:;[^:;"]*(?:"[^"]*"[^:;"]*)*)*):(.*)', re.DOTALL)
UNQUOTED_LINE = re.compile(r"([A-Za-z0-9._-]+)((?:;[^:;]*)*):(.*)", re.DOTALL)
PARAMETER = re.compile(r';([^=;:"]+)=("[^"]*"|[^;]*)')
ESCAPED = re.compile(r"\\([\\;,nN])")
CARET = re.compile(r"\^([n'^])")
CARETS = {"n": "\n", "'": '"', "^": "^"}
SHOWN_LENGTH = 60


class ContentLine(NamedTuple):
    number: int  # of the line in the file that it starts on
    text: str
    name: str  # upper case
    params: dict[str, str]  # by upper-case name
    value: str  # as it stands in the file

    @property
    def plain(self) -> str:
        """The value of a type that knows no escapes."""
        return self.value.strip()

    @property
    def unescaped(self) -> str:
        r"""The value as TEXT (RFC 5545, section 3.3.11), in one pass: the `\\n` of `C:\\new` is no line break."""
        return ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], self.value)


class Fault(NamedTuple):
    """Why something cannot be read, and where."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Component:
    """A component between its BEGIN, on line `number`, and its END; `fault` is the first thing wrong with it."""

    name: str  # upper case; of the file itself empty
    number: int
    lines: tuple[ContentLine, ...] = ()
    components: tuple["Component", ...] = ()
    fault: Fault | None = None

    def all(self, name: str) -> list[ContentLine]:
        return [line for line in self.lines if line.name == name]

    def first(self, name: str) -> ContentLine | None:
        return next((line for line in self.lines if line.name == name), None)

    def text(self, name: str) -> str:
        """The unescaped value of the property, empty if there is none."""
        line = self.first(name)
        return line.unescaped if line else ""

    def token(self, name: str) -> str:
        """The value of an enumerated property (STATUS, CLASS …) in upper case, empty if there is none."""
        line = self.first(name)
        return line.plain.upper() if line else ""


def shown(text: str) -> str:
    """The text as it can stand in a message: one short line without control characters."""
    text = "".join(char if char.isprintable() else " " for char in text[: 2 * SHOWN_LENGTH]).strip()
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


def read_components(data: bytes) -> Component:
    """The file as a component without a name, that holds its calendars and whatever else stands in it."""
    tree = _Tree()
    for number, text in _unfolded(data):
        line = _content_line(number, text)
        if line is None:
            tree.malformed(number, text)
        elif line.name == "BEGIN":
            tree.begin(number, line.plain.upper())
        elif line.name == "END":
            tree.end(number, line.plain.upper())
        else:
            tree.add(line)
    return tree.finished()


def _unfolded(data: bytes) -> Iterator[tuple[int, str]]:
    """Logical lines and where they start; joined as octets, because some programs fold inside a character."""
    if data.startswith(UTF_16_MARKS):
        data = data.decode("utf-16", "replace").encode()
    parts: list[bytes] = []
    first = 1
    for number, physical in enumerate(data.split(b"\n" if b"\n" in data else b"\r"), 1):
        octets = physical.rstrip(b"\r")
        if octets[:1] in (b" ", b"\t") and parts:
            parts.append(octets[1:])
        elif octets:
            if parts:
                yield first, _decoded(parts)
            first, parts = number, [octets]
    if parts:
        yield first, _decoded(parts)


def _decoded(parts: Iterable[bytes]) -> str:
    """The line's text, read as windows-1252 if it is not UTF-8, without the NULs that a database cannot hold."""
    octets = b"".join(parts)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        text = octets.decode("cp1252", "replace")
    return text.replace("\0", "").lstrip("\ufeff")


def _content_line(number: int, text: str) -> ContentLine | None:
    match = LINE.fullmatch(text) or UNQUOTED_LINE.fullmatch(text)
    if match is None:
        return None
    name, params, value = match.groups()
    return ContentLine(number, text, name.upper(), _parameters(params) if params else {}, value)


def _parameters(text: str) -> dict[str, str]:
    """Parameters by upper-case name, the first of each, without quotes and caret escapes (RFC 6868)."""
    found: dict[str, str] = {}
    for name, value in PARAMETER.findall(text):
        found.setdefault(name.strip().upper(), CARET.sub(lambda match: CARETS[match[1]], value.strip().strip('"')))
    return found


@dataclass(slots=True)
class _Open:
    """A component whose END has not come yet."""

    name: str
    number: int
    lines: list[ContentLine] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    fault: Fault | None = None

    def closed(self) -> Component:
        return Component(self.name, self.number, tuple(self.lines), tuple(self.components), self.fault)


class _Tree:
    """The components open at the current line, outermost first, and how often each name is among them."""

    def __init__(self) -> None:
        self._open = [_Open("", 1)]
        self._names: Counter[str] = Counter()

    def begin(self, number: int, name: str) -> None:
        if name in OUTER_COMPONENTS:
            while self._open[-1].name not in ("", "VCALENDAR"):
                self._close(ended=False)
        self._open.append(_Open(name, number))
        self._names[name] += 1

    def end(self, number: int, name: str) -> None:
        if self._names[name] == 0:
            if name in ACTIVITY_COMPONENTS:
                lost = Fault(number, f"END:{name} without BEGIN:{name}")
                self._open[0].components.append(Component(name, number, fault=lost))
            return
        while self._open[-1].name != name:
            self._close(ended=False)
        self._close(ended=True)

    def add(self, line: ContentLine) -> None:
        self._open[-1].lines.append(line)

    def malformed(self, number: int, text: str) -> None:
        top = self._open[-1]
        top.fault = top.fault or Fault(number, f'"{shown(text)}" is not a content line (NAME:value)')

    def finished(self) -> Component:
        while len(self._open) > 1:
            self._close(ended=False)
        return self._open[0].closed()

    def _close(self, *, ended: bool) -> None:
        closing = self._open.pop()
        self._names[closing.name] -= 1
        around = self._open[-1]
        if not ended and closing.name != "VCALENDAR":
            closing.fault = closing.fault or Fault(closing.number, f"END:{closing.name} is missing")
            if around.name not in ("", "VCALENDAR"):  # what follows may have been meant for it
                around.fault = around.fault or closing.fault
        around.components.append(closing.closed())
