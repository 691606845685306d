"""What the service says while the suite runs, searched for what it must never say.

`NET` hears the log at its most talkative, the standard error of the processes, and the errors that callers are
answered. Whatever else the service learns to tell, like metrics or traces, is one `NET.hear` more.
"""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from aiohttp import ClientResponse
from structlog.stdlib import ProcessorFormatter

from api.logs import configure_logs
from db.activities import Activity

FORMS = {
    "feed token": re.compile(r"cf1_[\w-]{8,}"),  # the beginning of one is enough: logs cut what is long
    "API key": re.compile(r"cfk_[\w-]{8,}"),
    "secret of a webhook": re.compile(r"whsec_[\w+/=]{8,}"),
    "bearer token": re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}"),
    "password in a URL": re.compile(r"\w://[^\s/:@]*:(?!password@)[^\s/@]+@"),  # not the example that a message gives
}
SECRET_SETTINGS = ("SECRET_KEYS", "JWT_SECRET", "DATABASE_URL", "REDIS_URL")
SHORTEST_SECRET = 7  # characters; shorter ones, like the password "secret", stand in honest sentences
PRIVATE = 13  # characters; an activity's text was told if so many of it were
PLAIN = re.compile(rf"[^\x00-\x1f\"'\\\U00010000-\U0010ffff]{{{PRIVATE}}}")  # what no log spells in another way, …
SPELLED = re.compile(r"\\u([0-9a-f]{4})")  # … but JSON does, so that is undone
AROUND = 100  # characters that are shown beside what was caught


class Net:
    """Keeps what it hears until the next search."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._files: list[TextIO] = []
        self._secrets: set[str] = set()
        self._private: set[str] = set()

    def hear(self, text: str) -> None:
        self._heard.append(text)

    def hear_errors(self, answer: Mapping[str, Any]) -> None:
        """What a GraphQL answer says is wrong; its data may hold the caller's own URLs."""
        if errors := answer.get("errors"):
            self.hear(json.dumps(errors))

    async def hear_refusal(self, answer: ClientResponse) -> None:
        if answer.status >= 400:
            self.hear(f"{answer.status} {dict(answer.headers)} {await answer.text()}")

    @contextmanager
    def following(self, path: Path) -> Iterator[None]:
        """Hear what a process writes to a file."""
        with path.open(errors="replace") as file:
            self._files.append(file)
            try:
                yield
            finally:
                self._files.remove(file)
                self.hear(file.read())

    def keep_secret(self, settings: Mapping[str, str]) -> None:
        """Look for the secrets among the settings from now on."""
        given = [value for name, value in settings.items() if name.upper().endswith(SECRET_SETTINGS)]
        self._secrets |= {part for value in given for part in secret_parts(value) if len(part) >= SHORTEST_SECRET}

    def keep_private(self, *activities: Activity) -> None:
        """Look for what the activities say from now on."""
        texts = [text for one in activities for text in (one.title, one.description, one.location) if text]
        self._private |= {found[0] for text in texts if (found := PLAIN.search(text))}

    def heard(self) -> str:
        """Everything since the last search."""
        self._heard += [file.read() for file in self._files]
        return SPELLED.sub(lambda code: chr(int(code[1], 16)), "\n".join(self._heard))

    def caught(self) -> list[str]:
        """What was heard since the last search and should not have been said, with the words around it."""
        text = self.heard()
        self._heard = []
        return [f"{what}: {text[max(0, at - AROUND) : at + AROUND]}" for what, at in self._search(text)]

    def _search(self, text: str) -> Iterator[tuple[str, int]]:
        for what, form in FORMS.items():
            yield from ((what, found.start()) for found in form.finditer(text))
        yield from (("key or password", text.index(secret)) for secret in self._secrets if secret in text)
        starts = range(len(text) - PRIVATE + 1)
        yield from (("private text", at) for at in starts if text[at : at + PRIVATE] in self._private)


def secret_parts(setting: str) -> list[str]:
    """What of a setting is secret: the password of a URL, the keys of a list with their ids, or all of it."""
    if "://" not in setting:
        return [key or text for text in setting.split(",") for _, _, key in [text.partition(":")]]
    try:
        url = urlsplit(setting)
    except ValueError:  # wrong settings are tested, too
        return re.findall(r"://[^:]*:([^@]*)@", setting)
    return [url.password or "", unquote(url.password or ""), *parse_qs(url.query).get("password", [])]


NET = Net()


class Ear(io.StringIO):
    def write(self, text: str) -> int:
        NET.hear(text)
        return len(text)


class Echo(logging.StreamHandler[TextIO]):
    """Repeats the service's own events on what is standard error at that moment: pytest gives each test its own."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def listen() -> None:
    """Log as the service does, at DEBUG, but to the net; and in words for tests and people who read what is said."""
    with redirect_stderr(Ear()):
        configure_logs("DEBUG")
    logging.getLogger("ical").setLevel(logging.WARNING)  # reads feeds for the tests, and is no part of the service
    echo = Echo()
    echo.addFilter(lambda record: isinstance(record.msg, dict))
    words = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    echo.setFormatter(ProcessorFormatter(processors=[ProcessorFormatter.remove_processors_meta, words]))
    logging.root.addHandler(echo)
