"""An account that a CRM keeps in step: its external ids, what is pushed into it, and what that has written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.activities import ActivityRecord, list_activities
from db.users import UserRecord
from tests.seed import HOUR, NOW, Seed, Service

COUNTS = "created updated unchanged"
Said = dict[str, Any]


@dataclass(frozen=True)
class Crm:
    """`anna` and `ben` are users by these external ids; "own" and "team" are Anna's calendar and the team's."""

    seed: Seed
    service: Service
    key: str

    async def push(self, *activities: Said, caller: UserRecord | str | None = None) -> dict[str, Any]:
        """The payload of `upsertActivities`."""
        return await self.service.mutate("upsertActivities", caller or self.key, COUNTS, activities=list(activities))

    async def sync(self, calendar: str, *activities: Said, **said: Any) -> dict[str, Any]:
        """The payload of `syncCalendar`, of a week from NOW on unless it is said otherwise."""
        values = {"from": NOW.isoformat(), "until": (NOW + 168 * HOUR).isoformat(), **said}
        selection, activities_ = f"{COUNTS} deleted", list(activities)
        return await self.service.mutate(
            "syncCalendar", self.key, selection, calendarExternalId=calendar, activities=activities_, **values
        )

    async def delete(self, *external_ids: str, **said: Any) -> dict[str, Any]:
        return await self.service.mutate(
            "deleteActivities", self.key, "deleted absent", externalIds=list(external_ids), **said
        )

    async def record(self, external_id: str) -> ActivityRecord:
        (found,) = [record for record in await self.records() if record.external_id == external_id]
        return found

    async def records(self) -> list[ActivityRecord]:
        rows = await self.seed.conn.fetch("SELECT id FROM activities WHERE account_id = $1", self.seed.account_id)
        return await list_activities(self.seed.conn, self.seed.account_id, [row["id"] for row in rows])

    async def standing(self) -> dict[str, list[str]]:
        """Which activities stand in which calendar, by external ids."""
        sql = """
            SELECT c.external_id, array_agg(a.external_id ORDER BY a.external_id)
              FROM calendar_entries e
              JOIN calendars c ON c.id = e.calendar_id
              JOIN activities a ON a.id = e.activity_id
             WHERE e.account_id = $1 GROUP BY 1"""
        return {row[0]: row[1] for row in await self.seed.conn.fetch(sql, self.seed.account_id)}

    async def rows(self) -> list[tuple[Any, ...]]:
        """Every row that pushes write, with the transaction that wrote it."""
        found: list[tuple[Any, ...]] = []
        for table in ("activities", "calendar_entries", "calendar_versions"):
            rows = await self.seed.conn.fetch(f"SELECT t.xmin::text, to_jsonb(t)::text FROM {table} t ORDER BY 2")
            found += [(table, *row) for row in rows]
        return found


async def name_externally(seed: Seed) -> None:
    names: list[tuple[str, UUID, str]] = [
        ("users", seed.anna.id, "anna"),
        ("users", seed.ben.id, "ben"),
        ("calendars", seed.own, "own"),
        ("calendars", seed.team, "team"),
    ]
    for table, id_, external_id in names:
        await seed.conn.execute(f"UPDATE {table} SET external_id = $2 WHERE id = $1", id_, external_id)


def said(external_id: str = "m1", calendars: Sequence[str] = ("team",), **more: Any) -> Said:
    """An hour's meeting from NOW on, as a CRM says it."""
    least = {"externalId": external_id, "calendarExternalIds": list(calendars), "type": "MEETING", "title": "Viewing"}
    times = {} if "startsOn" in more or "type" in more else {"startsAt": at(0), "endsAt": at(1)}
    return {**least, **times, **more}


def at(hours: float) -> str:
    """So many hours after NOW."""
    return (NOW + hours * HOUR).isoformat()
