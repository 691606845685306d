"""Keeps calendar-feeds in step with a CRM: sends what has changed since the last run, and ends what is gone.

    export GRAPHQL_URL=https://feeds.example.com/graphql API_KEY=cfk_...
    python sync.py export/

The export is a folder of JSON Lines, each line an input of the API: users.jsonl, calendars.jsonl, access.jsonl and
activities.jsonl, each complete. Map the fields of your CRM where they are read (`read`), or where you write them.

What the service has acknowledged is remembered in the folder, so a run that was stopped goes on where it was; what is
sent twice changes nothing. Items that the service refuses are printed, and written to refused.jsonl with the reasons;
all others go in. Exit status: 0 everything is in, 1 some items were refused, 2 it had to stop: run it again.
Needs Python 3.11 and rich.
"""

import argparse
import hashlib
import json
import os
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = dict[str, Any]
State = dict[str, dict[str, str]]  # of each file the digest of each item, by its key

MOST_BYTES = 9_000_000  # in a call
MOST_TRIES = 10  # some five minutes
LONGEST_WAIT = 60.0  # seconds
MOST_GONE = 0.25  # of what was there, beside a few: more looks like an export that failed
FEW = 20
PASSING = ("INTERNAL", "TIMEOUT", "UNAVAILABLE")  # codes of errors
UNSURE = ""  # in place of a digest: it was sent, and may be there

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class StopError(Exception):
    """Going on is of no use; the message says why."""


class TryAgainError(Exception):
    """What may be better in a moment: no network, a restart, too many calls. `wait` is what the service asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class TooMuchError(Exception):
    """There are too many items in the call, or too long ones."""


@dataclass(frozen=True)
class Call:
    """A mutation that takes a list of items."""

    mutation: str
    items: str  # what its input calls the list
    type: str | None = None  # of the activities that it is about


@dataclass(frozen=True)
class Step:
    """A file of the export: how its items are told apart and sent, and how those are ended that are gone from it."""

    name: str
    key: Callable[[Item], str]
    call: Call
    ending: Callable[[str], tuple[Call, Any]]  # what ends the item of a key
    unsaid: Item  # what is meant where a line says nothing: the service would leave it as it is


def by_id(item: Item) -> str:
    return str(item["externalId"])


UPSERT_USERS, UPSERT_CALENDARS = Call("upsertUsers", "users"), Call("upsertCalendars", "calendars")
SET_ACCESS, UPSERT_ACTIVITIES = Call("setCalendarAccess", "calendars"), Call("upsertActivities", "activities")


def delete(key: str) -> tuple[Call, str]:
    kind, _, external_id = key.partition(" ")
    return Call("deleteActivities", "externalIds", kind), external_id


def deactivate(key: str) -> tuple[Call, Item]:
    return UPSERT_USERS, {"externalId": key, "active": False}


def drop(key: str) -> tuple[Call, Item]:
    return UPSERT_CALENDARS, {"externalId": key, "deleted": True}


def withdraw(key: str) -> tuple[Call, Item]:
    return SET_ACCESS, {"calendarExternalId": key, "userExternalIds": []}


TIMES = ("startsAt", "endsAt", "startsOn", "endsOn", "dueAt", "dueOn", "timeZone", "recurrence")
REST = ("ownerExternalId", "description", "location", "url", "status", "priority", "participants", "private")
STEPS = (
    Step("users", by_id, UPSERT_USERS, deactivate, {"active": True}),
    Step("calendars", by_id, UPSERT_CALENDARS, drop, {"deleted": False}),
    Step("access", lambda item: str(item["calendarExternalId"]), SET_ACCESS, withdraw, {}),
    # The type is part of the key: a call and a meeting may have the same id.
    Step(
        "activities",
        lambda item: f"{item['type']} {item['externalId']}",
        UPSERT_ACTIVITIES,
        delete,
        dict.fromkeys(TIMES + REST),
    ),
)


def read(folder: Path, step: Step) -> dict[str, Item]:
    """The items of a file by their keys. Map the fields of your CRM here."""
    path = folder / f"{step.name}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        items = [step.unsaid | json.loads(line) for line in lines if line.strip()]
        return {step.key(item): item for item in items}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StopError(f"{path} cannot be read ({type(error).__name__}: {error})") from None


def digest(item: Item) -> str:
    return hashlib.sha256(json.dumps(item).encode()).hexdigest()[:32]


class Api:
    """The service. Every call may be made again: it changes nothing that is as it should be."""

    def __init__(self, url: str, key: str) -> None:
        scheme, host, self._path, *_ = urlsplit(url)
        self._connection = (HTTPSConnection if scheme == "https" else HTTPConnection)(host, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, call: Call, items: list[Any]) -> list[Item]:
        """What is wrong with the items, after as many tries as it takes."""
        kind = call.mutation[0].upper() + call.mutation[1:]
        query = (
            f"mutation ($input: {kind}Input!) {{ {call.mutation}(input: $input) {{ userErrors {{ message path }} }} }}"
        )
        given = {call.items: items} | ({"type": call.type} if call.type else {})
        body = json.dumps({"query": query, "variables": {"input": given}}).encode()
        if len(body) > MOST_BYTES:
            raise TooMuchError("It is too large.")
        for tries in range(MOST_TRIES):
            try:
                return errors_of(call, self._post(body))
            except TryAgainError as reason:
                chosen = random.uniform(0.5, 1) * 2**tries  # noqa: S311  # nothing depends on its being a secret
                wait = min(chosen if reason.wait is None else reason.wait, LONGEST_WAIT)
                console.print(f"{reason}: once more in {wait:.0f} s")
                time.sleep(wait)
        raise StopError(f"The service did not answer in {MOST_TRIES} tries.")

    def _post(self, body: bytes) -> Item:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, HTTPException) as error:  # no network, or it broke in the middle
            self._connection.close()
            raise TryAgainError(f"No answer ({type(error).__name__})") from None
        if answer.status in (408, 429) or answer.status >= 500:
            raise TryAgainError(f"HTTP {answer.status}", seconds(answer.getheader("Retry-After")))
        if answer.status == 413:
            raise TooMuchError("It is too large.")
        try:
            found: Item = json.loads(said)
        except ValueError:
            raise StopError(f"HTTP {answer.status}, and no answer of calendar-feeds: is GRAPHQL_URL right?") from None
        return found


def seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdigit() else None


def errors_of(call: Call, answer: Item) -> list[Item]:
    """What is wrong with the items, by paths like ["activities", "17", "endsAt"]; what else is wrong is raised."""
    if not (errors := answer.get("errors")):
        user_errors: list[Item] = answer["data"][call.mutation]["userErrors"]
        return user_errors
    # A value that is none of its type, like a date, is an error of the whole query; it has the path of the variable.
    paths = [error["extensions"].get("path", [])[1:] for error in errors]
    if any(paths):
        return [{"message": error["message"], "path": path} for error, path in zip(errors, paths, strict=True) if path]
    kind = TryAgainError if errors[0]["extensions"]["code"] in PASSING else StopError
    raise kind(errors[0]["message"])


class Sync:
    """One run. What is known is written to the state file before anything is sent, and after each acknowledgement."""

    def __init__(self, api: Api, folder: Path, batch: int, progress: Progress) -> None:
        self._api = api
        self._batch = batch
        self._progress = progress
        self._items = {step.name: read(folder, step) for step in STEPS}
        self._state_path = folder / ".sync-state.json"
        self._known: State = {step.name: {} for step in STEPS}
        if self._state_path.exists():
            self._known |= json.loads(self._state_path.read_text())
        self._refused_path = folder / "refused.jsonl"
        self._refused_path.unlink(missing_ok=True)
        self.sent = self.refused = 0

    def forget(self) -> None:
        """Take nothing for acknowledged: all is sent again, as after the service was restored from a backup."""
        self._known = {name: dict.fromkeys(known, UNSURE) for name, known in self._known.items()}

    def run(self, *, delete_many: bool) -> None:
        """Send what changed, each file in its turn; then end what is gone, the other way round."""
        changed = {step.name: self._changed(step.name) for step in STEPS}
        gone = {step.name: self._gone(step.name, delete_many=delete_many) for step in STEPS}
        new = {name: items.keys() - self._known[name].keys() for name, items in changed.items()}
        for name, items in changed.items():
            self._known[name] |= dict.fromkeys(items, UNSURE)
        self._save()
        for step in STEPS:
            self._upsert(step, changed[step.name], new[step.name])
        for step in reversed(STEPS):
            self._end(step, gone[step.name])

    def _changed(self, name: str) -> dict[str, Item]:
        known = self._known[name]
        return {key: item for key, item in self._items[name].items() if known.get(key) != digest(item)}

    def _gone(self, name: str, *, delete_many: bool) -> list[str]:
        known = self._known[name]
        gone = [key for key in known if key not in self._items[name]]
        if len(gone) > max(FEW, MOST_GONE * len(known)) and not delete_many:
            raise StopError(f"{len(gone)} of {len(known)} {name} are gone: if that is so, say --delete-many.")
        return gone

    def _upsert(self, step: Step, items: dict[str, Item], new: set[str]) -> None:
        known = self._known[step.name]
        for batch in self._batches(step.call, items):
            done = self._send(step, step.call, batch)
            known |= {key: digest(batch[key]) for key in done}
            for key in new & batch.keys() - set(done):
                del known[key]  # it was refused, and is not there

    def _end(self, step: Step, keys: list[str]) -> None:
        calls: dict[Call, Item] = defaultdict(dict)
        for key in keys:
            call, item = step.ending(key)
            calls[call][key] = item
        for call, items in calls.items():
            for batch in self._batches(call, items):
                self._send(step, call, batch)
                for key in batch:  # what is refused here is not there: it is told once
                    del self._known[step.name][key]

    def _batches(self, call: Call, items: Item) -> Iterator[Item]:
        """The items in batches; after each of them the state is saved, and the bar moves on."""
        bar = self._progress.add_task(call.mutation, total=len(items), visible=bool(items))
        keys = iter(items)
        while batch := {key: items[key] for key in islice(keys, self._batch)}:
            yield batch
            self._save()
            self._progress.advance(bar, len(batch))

    def _send(self, step: Step, call: Call, batch: Item) -> list[str]:
        """Send a batch, of which all goes in or nothing: without what is refused, until it does. The keys of that."""
        keys = list(batch)
        try:
            while keys and (errors := self._api.call(call, [batch[key] for key in keys])):
                refused = by_place(errors)
                for place, why in refused.items():
                    self._refuse(step, keys[place], batch[keys[place]], why)
                keys = [key for place, key in enumerate(keys) if place not in refused]
        except TooMuchError as reason:
            if len(keys) == 1:
                self._refuse(step, keys[0], batch[keys[0]], [{"message": str(reason), "path": [call.items, "0"]}])
                return []
            halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
            return [key for half in halves for key in self._send(step, call, {key: batch[key] for key in half})]
        self.sent += len(keys)
        return keys

    def _refuse(self, step: Step, key: str, item: Any, errors: list[Item]) -> None:
        self.refused += 1
        for error in errors:
            console.print(f"{step.name} {key}: {'.'.join(error['path'][2:])}: {error['message']}")
        # Half a character of UTF-16 cannot be written; with a backslash it is JSON all the same.
        with self._refused_path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps({"item": item, "errors": errors}, ensure_ascii=False) + "\n")

    def _save(self) -> None:
        """All of the state or nothing, whatever happens meanwhile."""
        draft = self._state_path.with_suffix(f".{os.getpid()}")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self._known, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._state_path)


def by_place(errors: list[Item]) -> dict[int, list[Item]]:
    """The errors by the place of the item in the list that was sent."""
    found: dict[int, list[Item]] = defaultdict(list)
    for error in errors:
        if len(error["path"]) < 2:
            raise TooMuchError(error["message"])
        found[int(error["path"][1])].append(error)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep calendar-feeds in step with a CRM's export.")
    parser.add_argument("export", type=Path, help="the folder of the export")
    parser.add_argument("--batch", type=int, default=500, help="items in one call, at most 1,000")
    parser.add_argument("--all", action="store_true", help="send what has not changed, too")
    parser.add_argument("--delete-many", action="store_true", help="end however much is gone from the export")
    given = parser.parse_args()
    url, key = os.environ.get("GRAPHQL_URL", ""), os.environ.get("API_KEY", "").strip()
    if not url.startswith(("https://", "http://")) or not re.fullmatch(r"[\x21-\x7e]+", key):
        parser.error("set GRAPHQL_URL and API_KEY")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            sync = Sync(Api(url, key), given.export, given.batch, progress)
            if given.all:
                sync.forget()
            sync.run(delete_many=given.delete_many)
    except StopError as reason:
        console.print(f"Stopped. {reason}")
        return 2
    console.print(f"{sync.sent} sent, {sync.refused} refused")
    return 1 if sync.refused else 0


if __name__ == "__main__":
    sys.exit(main())
