"""The audit log: what is in it, who reads it, and that it only grows."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import asyncpg
import pytest
from strawberry.relay import from_base64, to_base64

from api.api_keys import hash_api_key, make_api_key
from api.audit import AuditAction, AuditActorType
from db.audit import OPERATOR, SERVICE, ActorType, add_audit_entries
from db.calendars import grant_access
from db.ids import new_id
from db.keys import add_api_key
from tests.feed.subscription import subscribe
from tests.seed import NOW, Seed, Service, calendar_node, link_node, plant, user_node

ROOT = Path(__file__).parents[2]
MIGRATION = ROOT / "db" / "migrations" / "versions" / "0003_link_life.py"
LOG = """
    query ($where: AuditLogFilter, $first: Int, $after: String) {
      auditLog(where: $where, first: $first, after: $after) {
        edges { node { at action outcome actorType actorId actorName subjectId network details } }
        pageInfo { hasNextPage endCursor }
      }
    }"""


@pytest.fixture(autouse=True)
async def log_is_empty(seed: Seed) -> None:
    """Without what the seed did."""
    await seed.conn.execute("SET session_replication_role = replica")
    await seed.conn.execute("TRUNCATE audit_log")
    await seed.conn.execute("RESET session_replication_role")


async def entries(seed: Seed, service: Service, **where: Any) -> list[dict[str, Any]]:
    """What an administrator reads, the oldest first."""
    answer = await service.graphql(LOG, seed.anna, where=where)
    return [edge["node"] for edge in reversed(answer["data"]["auditLog"]["edges"])]


async def test_administrator_reads_who_did_what_from_where(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await service.mutate("revokeFeedLink", seed.anna, "link { id }", linkId=link.link_id)
    generated, revoked = await entries(seed, service)
    assert datetime.now(UTC) - datetime.fromisoformat(revoked.pop("at")) < timedelta(minutes=1)
    assert revoked == {
        "action": "LINK_REVOKED",
        "outcome": "DONE",
        "actorType": "USER",
        "actorId": user_node(seed.anna),
        "actorName": "Anna Müller",
        "subjectId": link.link_id,
        "network": "127.0.0.0/24",
        "details": {},
    }
    assert (generated["action"], generated["actorName"]) == ("LINK_GENERATED", "Ben Okafor")


async def test_log_is_filtered(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await service.generate(seed.anna)
    await service.mutate("pauseFeedLink", seed.anna, "link { id }", linkId=link.link_id)
    await service.mutate("pauseFeedLink", seed.ben, "link { id }", linkId=link_node(seed.own))
    ben, tomorrow = user_node(seed.ben), (NOW + timedelta(days=2)).isoformat()

    async def found(**where: Any) -> list[tuple[str, str]]:
        return [(entry["action"], entry["outcome"]) for entry in await entries(seed, service, **where)]

    generated, paused = ("LINK_GENERATED", "DONE"), ("LINK_PAUSED", "DONE")
    assert await found(actorId=ben) == [generated, ("LINK_PAUSED", "REFUSED")]
    assert await found(actions=["LINK_PAUSED"]) == [paused, ("LINK_PAUSED", "REFUSED")]
    assert await found(outcome="REFUSED") == [("LINK_PAUSED", "REFUSED")]
    assert await found(subjectId=link.link_id) == [generated, paused]
    assert await found(since=tomorrow) == []
    assert len(await found(until=tomorrow)) == 4
    assert await found(actions=[]) == []


async def test_refused_attempt_tells_what_was_asked_for(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    asked = {"calendarIds": [calendar_node(other.own), calendar_node(seed.own)]}
    await service.mutate("resetCalendarFeeds", seed.ben, "resetCount", **asked)
    (entry,) = await entries(seed, service)
    assert (entry["action"], entry["outcome"], entry["actorName"]) == ("LINK_RESET", "REFUSED", "Ben Okafor")
    assert entry["details"] == {
        "reasons": ["CalendarNotFound"],
        "asked": [f"Calendar:{other.own}", f"Calendar:{seed.own}"],
    }
    assert await entries(other, service, outcome="REFUSED") == []


async def test_mistakes_in_what_a_caller_may_do_are_no_refused_attempts(seed: Seed, service: Service) -> None:
    await service.mutate("generateCalendarUrl", seed.ben, "url", name="two\nlines")
    await service.mutate("generateCalendarUrl", seed.ben, "url", graceHours=-1)
    assert await entries(seed, service) == []


async def test_pages_hold_every_entry_once_the_latest_first(seed: Seed, service: Service) -> None:
    for number in range(5):
        await service.generate(seed.anna, name=f"n{number}")
    seen: list[str] = []
    after, more = None, True
    while more:
        page = (await service.graphql(LOG, seed.anna, first=2, after=after))["data"]["auditLog"]
        seen += [edge["node"]["at"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await service.generate(seed.anna, name=f"while reading {len(seen)}")
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


RIGHTS = {
    "UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1": "ACCESS_WITHDRAWN",
    "DELETE FROM calendar_access WHERE user_id = $1": "ACCESS_WITHDRAWN",
    "UPDATE users SET deactivated_at = now() WHERE id = $1": "USER_DEACTIVATED",
    "UPDATE users SET administrator = true WHERE id = $1": "ADMINISTRATOR_APPOINTED",
    "DELETE FROM users WHERE id = $1": "USER_DELETED",
}


@pytest.mark.parametrize("sql", RIGHTS)
async def test_change_of_rights_is_in_the_log_whoever_writes_it(seed: Seed, service: Service, sql: str) -> None:
    await seed.conn.execute(sql, seed.ben.id)
    entry = next(entry for entry in await entries(seed, service) if entry["action"] == RIGHTS[sql])
    assert (entry["action"], entry["actorType"], entry["actorId"]) == (RIGHTS[sql], "OPERATOR", None)
    assert entry["subjectId"] == user_node(seed.ben)
    assert entry["details"] == ({"calendar": str(seed.team)} if RIGHTS[sql] == "ACCESS_WITHDRAWN" else {})


async def test_change_of_rights_is_told_once_and_its_undoing_too(seed: Seed, service: Service) -> None:
    for sql in (
        "UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1",
        "UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1",
        "UPDATE users SET name = 'Benjamin', deactivated_at = now() WHERE id = $1",
        "UPDATE users SET deactivated_at = now() WHERE id = $1",
        "UPDATE users SET deactivated_at = NULL WHERE id = $1",
    ):
        await seed.conn.execute(sql, seed.ben.id)
    await grant_access(seed.conn, seed.account_id, seed.team, [seed.ben.id], NOW)
    for table, column in (("calendars", "deleted_at"), ("accounts", "suspended_at")):
        for value in ("now()", "NULL"):
            await seed.conn.execute(f"UPDATE {table} SET {column} = {value} WHERE account_id = $1", seed.account_id)
    rows = await seed.conn.fetch(
        "SELECT action, count(*) FROM audit_log WHERE at >= $1 GROUP BY 1", NOW.replace(year=2020)
    )
    assert {row["action"]: row["count"] for row in rows} == {
        "ACCESS_GRANTED": 1,
        "ACCESS_WITHDRAWN": 1,
        "USER_DEACTIVATED": 1,
        "USER_REACTIVATED": 1,
        "CALENDAR_DELETED": 2,
        "CALENDAR_RESTORED": 2,
        "ACCOUNT_SUSPENDED": 1,
        "ACCOUNT_RESUMED": 1,
    }


async def test_log_only_grows(seed: Seed, service: Service) -> None:
    await service.generate(seed.anna)
    for sql in ("UPDATE audit_log SET action = 'X'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="audit_log only grows"):
            await seed.conn.execute(sql)
    await seed.conn.execute("DELETE FROM users WHERE id = $1", seed.ben.id)
    told = {entry["action"] for entry in await entries(seed, service)}
    assert told == {"LINK_GENERATED", "ACCESS_WITHDRAWN", "USER_DELETED"}


async def test_account_that_is_deleted_takes_its_entries_with_it(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await service.generate(seed.anna)
    await seed.conn.execute("DELETE FROM accounts WHERE account_id = $1", seed.account_id)
    accounts = await seed.conn.fetch("SELECT DISTINCT account_id FROM audit_log")
    assert [row["account_id"] for row in accounts] == [other.account_id]


def test_every_action_and_actor_that_is_written_can_be_read() -> None:
    """An action that the enum does not have would make the log unreadable."""
    sources = "".join(path.read_text() for path in [*ROOT.glob("api/*.py"), *ROOT.glob("feed/*.py"), MIGRATION])
    kinds = "ACCESS|ACCOUNT|ACTIVITIES|API|FEED|ADMINISTRATOR|AUDIT|CALENDARS?|KEYS?|LINKS?|POLICY|USERS?|WEBHOOKS?"
    written = set(re.findall(rf"""["']((?:{kinds})(?:_[A-Z]+)+)["']""", sources))
    assert written == {action.name for action in AuditAction} - {"OTHER"}
    assert {actor.name for actor in AuditActorType} == set(get_args(ActorType))


async def test_entry_of_the_service_has_no_actor(seed: Seed, service: Service) -> None:
    details = {"clients": 7, "networks": 2}
    await add_audit_entries(
        seed.conn, seed.account_id, "LINK_ALARMED", [seed.own], actor=SERVICE, now=NOW, details=details
    )
    (entry,) = await entries(seed, service)
    assert (entry["actorType"], entry["actorId"], entry["actorName"], entry["network"]) == ("SERVICE", None, None, None)
    assert (entry["subjectId"], entry["details"]) == (link_node(seed.own), details)


async def test_change_of_a_link_tells_what_was_and_is(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, name="iPhone", options={"detail": "BUSY"})
    until = "2099-01-01T00:00:00+00:00"
    await service.mutate(
        "updateFeedLink",
        seed.anna,
        "link { id }",
        linkId=link.link_id,
        name="iPad",
        expiresAt=until,
        options={"detail": "FULL"},
    )
    assert (await entries(seed, service))[-1]["details"] == {
        "name": ["iPhone", "iPad"],
        "expiresAt": [None, until],
        "options": [{"detail": "BUSY"}, {}],
    }


async def test_attempts_to_look_at_others_are_in_the_log_once_a_request(seed: Seed, service: Service) -> None:
    for name in ("", "iPhone"):
        await service.generate(seed.ben, name=name)
    previews = "query ($id: ID) { calendarFeeds(userId: $id) { links { preview { eventCount } } } }"
    await service.graphql(previews, seed.anna, id=user_node(seed.ben))
    await service.graphql(previews, seed.anna, id=user_node((await plant(seed.conn, "Blackwood")).ben))
    refused = await entries(seed, service, outcome="REFUSED")
    assert [(entry["action"], entry["details"]["reasons"]) for entry in refused] == [
        ("FEED_PREVIEWED", ["FORBIDDEN"]),
        ("LINKS_LISTED", ["NOT_FOUND"]),
    ]


async def test_every_id_that_one_request_tries_is_in_the_log(seed: Seed, service: Service) -> None:
    ids = [link_node(new_id()) for _ in range(3)]
    fields = [f'm{n}: revokeFeedLink(input: {{linkId: "{id_}"}}) {{ link {{ id }} }}' for n, id_ in enumerate(ids)]
    await service.graphql(f"mutation {{ {' '.join(fields)} }}", seed.ben)
    asked = [entry["details"]["asked"] for entry in await entries(seed, service, outcome="REFUSED")]
    assert asked == [[":".join(from_base64(id_))] for id_ in ids]


async def test_call_of_a_deactivated_user_or_a_revoked_key_is_in_the_log_once_an_hour(
    seed: Seed, service: Service
) -> None:
    key_id = new_id()
    key = make_api_key(seed.account_id, key_id)
    await add_api_key(seed.conn, seed.account_id, key_id, NOW, name="CRM", key_hash=hash_api_key(key), scopes=[])
    await seed.conn.execute("UPDATE api_keys SET revoked_at = now()")
    await seed.conn.execute("UPDATE users SET deactivated_at = now() WHERE id = $1", seed.ben.id)
    forged = make_api_key(seed.account_id, key_id)
    for caller in (seed.ben, key, forged, seed.ben, key):
        (error,) = (await service.graphql("{ viewer { name } }", caller))["errors"]
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    calls = await entries(seed, service, outcome="REFUSED")
    assert [(entry["action"], entry["actorType"], entry["actorName"]) for entry in calls] == [
        ("API_CALLED", "USER", "Ben Okafor"),
        ("API_CALLED", "KEY", "CRM"),
    ]


async def test_action_that_this_release_has_no_word_for_can_be_read(seed: Seed, service: Service) -> None:
    await add_audit_entries(seed.conn, seed.account_id, "FEED_WASHED", [seed.own], actor=OPERATOR, now=NOW)
    assert [entry["action"] for entry in await entries(seed, service)] == ["OTHER"]


async def test_cursor_that_no_list_gave_is_refused(seed: Seed, service: Service) -> None:
    for text in ("0001-01-01T00:00:00+14:00 01a1feac-6909-7681-95bb-49bfa6c0b000", "soon", ""):
        answer = await service.graphql(LOG, seed.anna, after=to_base64("Cursor", text))
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_ARGUMENT"}]
