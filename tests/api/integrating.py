"""What integrators do in tests, and what shows that they changed nothing."""

import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from db.pool import Conn, Pool
from db.users import UserRecord
from tests.db.test_schema import OURS
from tests.seed import Seed, Service, running_service

COUNTS = "created updated unchanged"
# Statements of asyncpg itself, and of what the service does every few seconds.
NOT_ASKED_FOR = re.compile(
    "typeinfo_tree|'jit'|pg_advisory_unlock_all|^(BEGIN|COMMIT|ROLLBACK)"
    "|feed_networks|feed_polls|webhook|lock_timeout|suspended_at FROM accounts"
)
Payload = dict[str, Any]


def done(created: int = 0, updated: int = 0, unchanged: int = 0) -> Payload:
    return {"created": created, "updated": updated, "unchanged": unchanged, "userErrors": []}


def refused(*errors: tuple[str, str, str]) -> Payload:
    """Nothing was done: the type of each error, the path to what it is about, and its message."""
    told = [{"__typename": kind, "message": message, "path": path.split(".")} for kind, path, message in errors]
    return {"created": 0, "updated": 0, "unchanged": 0, "userErrors": told}


def brief(payload: Payload) -> list[tuple[str, str]]:
    """The type of each user error, and the path to what it is about."""
    return [(error["__typename"], ".".join(error["path"])) for error in payload["userErrors"]]


async def written(conn: Conn) -> set[str]:
    """Every row with the transaction that wrote it; but for when a key was used, and the refused attempts."""
    tables = [row["relname"] for row in await conn.fetch(OURS) if row["relname"] != "api_keys"]
    found: set[str] = set()
    for table in tables:
        told = " WHERE t.outcome = 'DONE'" if table == "audit_log" else ""
        rows = await conn.fetch(f"SELECT t.xmin::text || to_jsonb(t)::text FROM {table} t{told}")
        found |= {f"{table} {row[0]}" for row in rows}
    return found


async def log(seed: Seed) -> list[tuple[str, str, Any]]:
    """What the audit log holds since the seed: action, who did it, to whom or what."""
    sql = """
        SELECT g.action, coalesce(k.name, u.name, g.actor_type) AS actor, g.subject_id
          FROM audit_log g
          LEFT JOIN api_keys k ON k.id = g.actor_id
          LEFT JOIN users u ON u.id = g.actor_id
         WHERE g.account_id = $1 AND g.outcome = 'DONE' AND g.actor_type <> 'OPERATOR'
         ORDER BY g.action, g.at, g.id"""
    return [tuple(row) for row in await seed.conn.fetch(sql, seed.account_id)]


async def name_externally(seed: Seed) -> None:
    """Give what was seeded the CRM's own keys."""
    names = {seed.anna.id: "anna", seed.ben.id: "ben", seed.own: "own", seed.team: "team"}
    for id_, external_id in names.items():
        for table in ("users", "calendars"):
            await seed.conn.execute(f"UPDATE {table} SET external_id = $2 WHERE id = $1", id_, external_id)


async def pages(
    service: Service, caller: UserRecord | str, query: str, name: str, first: int
) -> AsyncIterator[list[Payload]]:
    """The nodes of a list, page after page."""
    after: str | None = None
    while True:
        page = (await service.graphql(query, caller, first=first, after=after))["data"][name]
        yield [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return


def listening_to(sent: list[str]) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """What makes a connection add to these the statements that it is asked for."""

    def note(query: Any) -> None:
        if not NOT_ASKED_FOR.search(query.query):
            sent.append(query.query)

    async def listen(conn: Any) -> None:
        conn.add_query_logger(note)

    return listen


@asynccontextmanager
async def listening_service(dsn: str, patch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Service, list[str]]]:
    """A service, and the statements that its requests send."""
    sent: list[str] = []

    def create_pool(dsn: str, max_size: int, statement_cache_size: int) -> Pool:
        return asyncpg.create_pool(dsn, min_size=0, max_size=max_size, init=listening_to(sent))

    patch.setattr("api.app.create_pool", create_pool)
    async with running_service(dsn) as service:
        yield service, sent
