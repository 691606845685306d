"""Writes a CRM's export of made-up people and activities, to try `sync.py` and `sync.ts` on.

    python make_export.py export/ --activities 5000

The same numbers give the same export: those of another `--seed` differ in some of the activities.
"""

import argparse
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

Item = dict[str, Any]

FIRST, LAST = ["Anna", "Ben", "Chloé", "Daan", "Elif", "Femke"], ["Müller", "Okafor", "Rossi", "de Vries", "Yılmaz"]
PLACES = ["Harbour Street 12", "Mill Lane 3", "Old Market 7", "Quay 21", None]
COLOURS = ["#4682B4", "#2E8B57", "#CD5C5C", "#6A5ACD"]


def users(count: int) -> list[Item]:
    names = [f"{FIRST[n % len(FIRST)]} {LAST[n // len(FIRST) % len(LAST)]}" for n in range(count)]
    return [
        {"externalId": f"user-{n}", "name": name, "email": f"user-{n}@example.com", "timeZone": "Europe/Amsterdam"}
        for n, name in enumerate(names)
    ]


def calendars(people: list[Item]) -> list[Item]:
    """One for each user, and one of the team."""
    own = [
        {"externalId": f"of-{user['externalId']}", "name": user["name"], "color": COLOURS[n % len(COLOURS)]}
        for n, user in enumerate(people)
    ]
    return [*own, {"externalId": "team", "name": "Sales team"}]


def access(people: list[Item]) -> list[Item]:
    ids = [user["externalId"] for user in people]
    own = [{"calendarExternalId": f"of-{user}", "userExternalIds": [user]} for user in ids]
    return [*own, {"calendarExternalId": "team", "userExternalIds": ids}]


def activities(people: list[Item], count: int, today: date, random: Random) -> Iterable[Item]:
    kinds = [meeting, meeting, day_off, call, task, errand, note, series]
    for n in range(count):
        owner = random.choice(people)["externalId"]
        day = today + timedelta(days=random.randrange(-60, 180))
        at = datetime.combine(day, time(random.randrange(7, 17), random.choice([0, 15, 30, 45])), UTC)
        yield {
            "externalId": f"activity-{n}",
            "calendarExternalIds": [f"of-{owner}", "team"] if n % 3 == 0 else [f"of-{owner}"],
            "ownerExternalId": owner,
            "url": f"https://crm.example.com/activities/{n}",
            "private": n % 20 == 0,
            **kinds[n % len(kinds)](n, day, at),
        }


def meeting(n: int, _: date, at: datetime) -> Item:
    guest = {"name": f"Guest {n}", "email": f"guest-{n}@example.net", "response": "ACCEPTED"}
    return {
        "type": "MEETING",
        "title": f"Viewing {n}",
        "location": PLACES[n % len(PLACES)],
        "startsAt": at.isoformat(),
        "endsAt": (at + timedelta(minutes=45)).isoformat(),
        "participants": [guest],
    }


def day_off(n: int, day: date, _: datetime) -> Item:
    """Whole days: the end is the day after the last one."""
    return {"type": "MEETING", "title": f"Fair {n}", "startsOn": f"{day}", "endsOn": f"{day + timedelta(days=2)}"}


def call(n: int, _: date, at: datetime) -> Item:
    return {"type": "CALL", "title": f"Offer {n}", "startsAt": at.isoformat(), "description": "Ask for the papers."}


def task(n: int, _: date, at: datetime) -> Item:
    return {"type": "TASK", "title": f"Send contract {n}", "dueAt": at.isoformat(), "priority": "HIGH"}


def errand(n: int, day: date, _: datetime) -> Item:
    return {"type": "TASK", "title": f"Order photos {n}", "dueOn": f"{day}", "status": "COMPLETED"}


def note(n: int, _: date, __: datetime) -> Item:
    return {"type": "NOTE", "title": f"Likes balconies {n}"}


def series(n: int, _: date, at: datetime) -> Item:
    return {**meeting(n, at.date(), at), "timeZone": "Europe/Amsterdam", "recurrence": {"rule": "FREQ=WEEKLY;COUNT=8"}}


def write(path: Path, items: Iterable[Item]) -> None:
    path.write_text("".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in items), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a made-up export.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--activities", type=int, default=1000)
    parser.add_argument("--today", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    people = users(given.users)
    given.folder.mkdir(parents=True, exist_ok=True)
    write(given.folder / "users.jsonl", people)
    write(given.folder / "calendars.jsonl", calendars(people))
    write(given.folder / "access.jsonl", access(people))
    made = activities(people, given.activities, given.today, Random(given.seed))  # noqa: S311  # data to try with
    write(given.folder / "activities.jsonl", made)


if __name__ == "__main__":
    main()
