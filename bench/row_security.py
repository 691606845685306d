"""What row-level security would cost a poll: the same questions with policies on every table and without.

    .venv/bin/python bench/row_security.py

Both databases hold the same rows and are asked as the same role, which owns nothing. With policies the account has to
be set in the transaction that asks, as PgBouncer's transaction mode gives the next one another connection.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import typer

from db.accounts import PolicyRecord, add_account
from db.activities import Activity, add_entries, upsert_activities
from db.calendars import add_calendar, grant_access
from db.embedded import postgres
from db.fragments import Selection, select_activities
from db.gate import get_gate
from db.links import add_link
from db.migrate import migrate
from db.pool import Conn
from db.users import add_user
from feed.feeds import user_feed

ACCOUNTS, ACTIVITIES = 8, 500
ROUNDS, GATES, READS = 9, 150, 5
NOW = datetime.now(UTC)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
SECURED = """
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY one_account ON {table} USING (account_id = current_setting('calendar_feeds.account')::uuid)"""

Ask = Callable[[Conn], Awaitable[object]]
Way = Callable[[Conn, UUID, Ask], Awaitable[object]]


async def plant(conn: Conn) -> tuple[UUID, UUID, Selection]:
    """An account with a feed; its id, its link, and what the link shows."""
    account_id = (await add_account(conn, "Harbour Homes", NOW)).account_id
    user = await add_user(conn, account_id, NOW, name="Anna Müller")
    calendar_id = await add_calendar(conn, account_id, NOW, name="Sales team")
    await grant_access(conn, account_id, calendar_id, [user.id], NOW)
    link = await add_link(conn, account_id, user.id, calendar_id, "", "k1", NOW)
    times = [NOW + timedelta(hours=number % 2_000) for number in range(ACTIVITIES)]
    meetings = [
        Activity(type="MEETING", status="CONFIRMED", external_id=f"m{number}", title="Viewing", starts_at=starts_at)
        for number, starts_at in enumerate(times)
    ]
    await upsert_activities(conn, account_id, meetings, NOW)
    await add_entries(conn, account_id, calendar_id, meetings)
    selection = user_feed(user, [], None, None, PolicyRecord(), NOW).selection()
    assert link
    return account_id, link.id, replace(selection, calendar_ids=[calendar_id])


async def secure(conn: Conn) -> None:
    for row in await conn.fetch(TABLES):
        await conn.execute(SECURED.format(table=row["tablename"]))


# ---- Ways to ask


async def as_it_is(conn: Conn, _: UUID, ask: Ask) -> object:
    return await ask(conn)


async def in_transaction(conn: Conn, _: UUID, ask: Ask) -> object:
    async with conn.transaction():
        return await ask(conn)


async def in_transaction_of_account(conn: Conn, account_id: UUID, ask: Ask) -> object:
    async with conn.transaction():
        await conn.execute("SELECT set_config('calendar_feeds.account', $1, true)", str(account_id))
        return await ask(conn)


async def in_short_transaction_of_account(conn: Conn, account_id: UUID, ask: Ask) -> object:
    """With one round trip less: the transaction is begun and told its account at once."""
    await conn.execute(f"BEGIN; SET LOCAL calendar_feeds.account = '{account_id}'")
    answer = await ask(conn)
    await conn.execute("COMMIT")
    return answer


# Name: whether there are policies, and how it is asked. The session's account is set before all rounds.
WAYS: dict[str, tuple[bool, Way]] = {
    "as it is": (False, as_it_is),
    "as it is, in a transaction": (False, in_transaction),
    "policies, account set in the session": (True, as_it_is),
    "policies, set_config in a transaction": (True, in_transaction_of_account),
    "policies, BEGIN and SET LOCAL at once": (True, in_short_transaction_of_account),
}


async def seconds(conn: Conn, account_id: UUID, way: Way, ask: Ask, times: int) -> float:
    began = perf_counter()
    for _ in range(times):
        assert await way(conn, account_id, ask)
    return (perf_counter() - began) / times


async def measure(conns: dict[bool, Conn], account_id: UUID, ask: Ask, times: int) -> dict[str, float]:
    """The median of each way's rounds, in seconds; the ways take turns, so that a busy moment hits all of them."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, (secured, way) in WAYS.items():
            found[name].append(await seconds(conns[secured], account_id, way, ask, times))
    return {name: median(each) for name, each in found.items()}


def report(what: str, medians: dict[str, float]) -> None:
    least = medians["as it is"]
    typer.echo(f"{what}, median of {ROUNDS} rounds")
    for name, each in medians.items():
        typer.echo(f"  {name:40}{each * 1e6:8.0f} µs  × {each / least:.2f}")


async def prepare(dsn: str) -> tuple[UUID, UUID, Selection]:
    await migrate(dsn)
    conn = await asyncpg.connect(dsn)
    planted = [await plant(conn) for _ in range(ACCOUNTS)]
    await conn.execute("ANALYZE; CREATE ROLE app LOGIN")
    await conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO app")
    await conn.close()
    return planted[ACCOUNTS // 2]


async def copy_secured(dsn: str, name: str) -> None:
    """A database with the same rows, and policies on all tables."""
    admin = await asyncpg.connect(_database(dsn, "template1"))
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {urlsplit(dsn).path.strip('/')}")
    await admin.close()
    conn = await asyncpg.connect(_database(dsn, name))
    await secure(conn)
    await conn.execute("ANALYZE")
    await conn.close()


def _database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def main(dsn: str) -> None:
    account_id, link_id, selection = await prepare(dsn)
    await copy_secured(dsn, "secured")
    async with AsyncExitStack() as stack:
        conns: dict[bool, Conn] = {}
        for secured, each in ((False, dsn), (True, _database(dsn, "secured"))):
            conns[secured] = await asyncpg.connect(each, user="app")
            stack.push_async_callback(conns[secured].close)
        await conns[True].execute(f"SET calendar_feeds.account = '{link_id}'")
        assert await get_gate(conns[True], account_id, link_id, 1) is None  # the policies hold
        await conns[True].execute(f"SET calendar_feeds.account = '{account_id}'")
        gate = await measure(conns, account_id, lambda conn: get_gate(conn, account_id, link_id, 1), GATES)
        report("A gate", gate)
        read = await measure(conns, account_id, lambda conn: select_activities(conn, selection, left_out=False), READS)
        report(f"The rows of a feed of {ACTIVITIES} activities", read)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as embedded:
        asyncio.run(main(embedded))
