"""What webhooks are told of: put into the queue by the database, in the transaction in which it happens."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.audit import OPERATOR, Actor, Outcome, add_audit_entries
from db.links import LinkRecord, add_link, revoke_links
from db.polls import NOWHERE, Answer, PollCount, PollKey, list_stale_polls, note_stale, save_polls
from db.pool import Conn
from db.webhooks import WebhookRecord, add_webhook, list_webhooks, lock_webhook, update_webhook
from tests.db.test_migrate import OLD_ADD_AUDIT_ENTRIES
from tests.seed import HOUR, NOW, Seed, plant

DAY = timedelta(days=1)
EVENTS = ("link.generated", "link.reset", "link.revoked", "client.first_polled", "client.stale")
URL = "https://crm.example/hooks"


async def new_webhook(seed: Seed, *events: str) -> WebhookRecord:
    return await add_webhook(seed.conn, seed.account_id, "k1", NOW, url=URL, events=events or EVENTS)


async def new_link(seed: Seed, calendar_id: UUID | None = None, name: str = "iPhone") -> LinkRecord:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, calendar_id, name, "k1", NOW)
    assert link
    return link


async def tell(
    seed: Seed, action: str, *links: LinkRecord, conn: "Conn | None" = None, outcome: Outcome = "DONE"
) -> None:
    """Write what was done to the links to the audit log."""
    ids = [link.id for link in links]
    actor = Actor("USER", seed.ben.id)
    await add_audit_entries(conn or seed.conn, seed.account_id, action, ids, actor=actor, now=NOW, outcome=outcome)


async def queued(seed: Seed) -> list[tuple[Any, ...]]:
    """What is in the queue: whom for, what, the link, when it happened."""
    rows = await seed.conn.fetch(
        "SELECT d.webhook_id, d.event, d.facts ->> 'link_id', d.created_at FROM webhook_deliveries d"
        " ORDER BY d.created_at, d.event, d.webhook_id, 3"
    )
    return [(webhook_id, event, UUID(link_id), at) for webhook_id, event, link_id, at in rows]


async def facts(seed: Seed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await seed.conn.fetchval("SELECT d.facts FROM webhook_deliveries d"))
    return found


# ---- links


@pytest.mark.parametrize("event", ["link.generated", "link.reset", "link.revoked"])
async def test_change_of_a_link_is_queued_for_the_webhooks_that_want_it(seed: Seed, event: str) -> None:
    wants, *_ = [await new_webhook(seed, event), await new_webhook(seed, *(set(EVENTS) - {event}))]
    link = await new_link(seed, seed.team)
    await tell(seed, event.upper().replace(".", "_"), link)
    assert await queued(seed) == [(wants.id, event, link.id, NOW)]


async def test_queue_keeps_ids_and_names_and_nothing_that_is_secret(seed: Seed) -> None:
    await seed.conn.execute("UPDATE users SET external_id = 'u-' || split_part(email, '@', 1)")
    await seed.conn.execute("UPDATE calendars SET external_id = 'c-1' WHERE id = $1", seed.team)
    await new_webhook(seed)
    link = await new_link(seed, seed.team)
    await tell(seed, "LINK_RESET", link)
    row = await seed.conn.fetchrow("SELECT * FROM webhook_deliveries")
    assert row
    assert json.loads(row["facts"]) == {
        "link_id": str(link.id),
        "link_name": "iPhone",
        "user_id": str(seed.anna.id),
        "user_external_id": "u-anna",
        "calendar_id": str(seed.team),
        "calendar_external_id": "c-1",
        "actor_type": "USER",
    }
    assert (row["attempts"], row["next_attempt_at"], row["delivered_at"], row["last_error"]) == (0, NOW, None, None)


async def test_link_of_all_calendars_is_told_without_a_calendar(seed: Seed) -> None:
    await new_webhook(seed)
    await tell(seed, "LINK_GENERATED", await new_link(seed))
    told = await facts(seed)
    assert (told["calendar_id"], told["calendar_external_id"], told["user_external_id"]) == (None, None, None)


async def test_what_is_told_stays_as_it_was_when_it_happened(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed, seed.team)
    await tell(seed, "LINK_RESET", link)
    before = await facts(seed)
    await seed.conn.execute("UPDATE feed_links SET name = 'Laptop'")
    await seed.conn.execute("DELETE FROM feed_links")
    assert await facts(seed) == before


async def test_many_links_are_told_each_to_every_webhook(seed: Seed) -> None:
    webhooks = [await new_webhook(seed) for _ in range(2)]
    links = [await new_link(seed, name=f"link {n}") for n in range(3)]
    await tell(seed, "LINK_RESET", *links)
    expected = {(webhook.id, "link.reset", link.id, NOW) for webhook in webhooks for link in links}
    assert set(await queued(seed)) == expected


async def test_what_is_rolled_back_is_told_to_nobody(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    change = seed.conn.transaction()
    await change.start()
    await tell(seed, "LINK_RESET", link)
    assert len(await queued(seed)) == 1
    await change.rollback()
    assert await queued(seed) == []


async def test_refusals_and_other_actions_are_not_told(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    await tell(seed, "LINK_RESET", link, outcome="REFUSED")
    await tell(seed, "LINK_PAUSED", link)
    await seed.conn.execute("UPDATE users SET deactivated_at = now()")
    assert await queued(seed) == []


async def test_disabled_and_removed_webhooks_and_those_of_others_are_told_nothing(seed: Seed) -> None:
    other = await plant(seed.conn, "Other")
    await new_webhook(other)
    for change in ({"disabled_at": NOW}, {"disabled_at": NOW, "removed_at": NOW}):
        await update_webhook(seed.conn, replace(await new_webhook(seed), **change))  # type: ignore[arg-type]
    await tell(seed, "LINK_RESET", await new_link(seed))
    assert await queued(seed) == []
    link = await new_link(other)
    await tell(seed, "LINK_RESET", link)  # which is none of this account's
    assert await queued(seed) == []
    await tell(other, "LINK_RESET", link)
    assert [link_id for _, _, link_id, _ in await queued(seed)] == [link.id]


async def test_release_before_is_heard_too(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    values = (NOW, seed.anna.id, "LINK_RESET", None, [uuid4()], [link.id])
    await seed.conn.execute(OLD_ADD_AUDIT_ENTRIES, seed.account_id, *values)
    assert [event for _, event, *_ in await queued(seed)] == ["link.reset"]


@pytest.mark.parametrize("first", ["remove", "tell"])
async def test_change_of_a_link_succeeds_while_a_webhook_is_deleted(seed: Seed, dsn: str, first: str) -> None:
    webhook, link = await new_webhook(seed), await new_link(seed)
    other = await asyncpg.connect(dsn)

    async def remove(conn: Conn) -> None:
        await conn.execute("DELETE FROM webhooks WHERE id = $1", webhook.id)

    async def tell_it(conn: Conn) -> None:
        await tell(seed, "LINK_RESET", link, conn=conn)

    leading, following = (remove, tell_it) if first == "remove" else (tell_it, remove)
    change = seed.conn.transaction()
    await change.start()
    await leading(seed.conn)
    waiting = asyncio.create_task(following(other))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await change.commit()
    await waiting
    await other.close()
    assert await queued(seed) == []


# ---- clients


def polled(link: LinkRecord, client: str, at: datetime, answer: Answer = "CALENDAR") -> tuple[PollKey, PollCount]:
    is_served = answer in ("CALENDAR", "UNCHANGED")
    status = 200 if answer == "CALENDAR" else 304
    return PollKey(link.id, client, NOWHERE, 1, is_served), PollCount(at, at, 1, status, answer)


async def save(seed: Seed, *polls: tuple[PollKey, PollCount]) -> None:
    await save_polls(seed.conn, seed.account_id, polls)


async def clients(seed: Seed) -> list[tuple[str, str, datetime]]:
    rows = await seed.conn.fetch(
        "SELECT d.event, d.facts ->> 'client', d.created_at FROM webhook_deliveries d ORDER BY d.created_at, 2"
    )
    return [(event, client, at) for event, client, at in rows]


async def test_client_is_told_once_when_it_is_first_given_the_calendar(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed, seed.team)
    await save(seed, polled(link, "curl", NOW), polled(link, "curl", NOW + HOUR), polled(link, "Thunderbird", NOW))
    await save(seed, polled(link, "curl", NOW + DAY), polled(link, "curl", NOW - HOUR, "UNCHANGED"))
    assert await clients(seed) == [("client.first_polled", name, NOW) for name in ("Thunderbird", "curl")]
    assert {link_id for _, _, link_id, _ in await queued(seed)} == {link.id}


@pytest.mark.parametrize("answer", ["NOTICE", "GONE", "LIMITED", "UNAVAILABLE"])
async def test_client_that_is_not_given_the_calendar_is_told_only_once_it_is(seed: Seed, answer: Answer) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    await save(seed, polled(link, "curl", NOW, answer))
    assert await clients(seed) == []
    await save(seed, polled(link, "curl", NOW + HOUR), polled(link, "curl", NOW + 2 * HOUR, answer))
    assert await clients(seed) == [("client.first_polled", "curl", NOW + HOUR)]


async def test_client_whose_first_poll_the_release_before_wrote_is_told_at_its_next(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    await seed.conn.execute(
        "INSERT INTO feed_polls (account_id, link_id, client, first_polled_at, last_polled_at, polls, last_status,"
        " last_answer) VALUES ($1, $2, 'curl', $3, $3, 1, 200, 'CALENDAR')", seed.account_id, link.id, NOW,
    )  # fmt: skip
    assert await clients(seed) == []
    await save(seed, polled(link, "curl", NOW + HOUR))
    assert await clients(seed) == [("client.first_polled", "curl", NOW + HOUR)]


async def go_stale(seed: Seed, now: datetime) -> list[str]:
    """Note what is stale by then; the clients."""
    stale = await list_stale_polls(seed.conn, seed.account_id, now)
    if stale:
        await note_stale(seed.conn, seed.account_id, stale)
    return [poll.client for poll in stale]


async def test_client_that_has_stopped_is_told_once_for_each_time_it_stops(seed: Seed) -> None:
    await new_webhook(seed, "client.stale")
    link = await new_link(seed)
    await save(seed, polled(link, "curl", NOW - 9 * DAY), polled(link, "Thunderbird", NOW - 3 * DAY))
    assert await go_stale(seed, NOW) == ["curl"]
    assert await go_stale(seed, NOW) == []
    ((event, client, at),) = await clients(seed)
    assert (event, client) == ("client.stale", "curl")
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert datetime.fromisoformat((await facts(seed))["last_polled_at"]) == NOW - 9 * DAY
    await save(seed, polled(link, "curl", NOW))
    assert await go_stale(seed, NOW + 2 * DAY) == ["Thunderbird"]
    assert await go_stale(seed, NOW + 30 * DAY) == ["curl"]
    assert [client for _, client, _ in await clients(seed)] == ["curl", "Thunderbird", "curl"]


async def test_poll_that_is_written_late_makes_nobody_stale_again(seed: Seed) -> None:
    await new_webhook(seed, "client.stale")
    link = await new_link(seed)
    await save(seed, polled(link, "curl", NOW - 9 * DAY))
    assert await go_stale(seed, NOW) == ["curl"]
    await save(seed, polled(link, "curl", NOW - 10 * DAY))
    assert await go_stale(seed, NOW) == []


async def test_client_that_polls_before_it_is_noted_has_not_gone_stale(seed: Seed) -> None:
    await new_webhook(seed, "client.stale")
    link = await new_link(seed)
    await save(seed, polled(link, "curl", NOW - 9 * DAY))
    stale = await list_stale_polls(seed.conn, seed.account_id, NOW)
    await save(seed, polled(link, "curl", NOW))
    await note_stale(seed.conn, seed.account_id, stale)
    assert await clients(seed) == []


async def test_clients_of_a_revoked_link_go_stale_unheard(seed: Seed) -> None:
    await new_webhook(seed, "client.stale")
    link = await new_link(seed)
    await save(seed, polled(link, "curl", NOW - 9 * DAY))
    await revoke_links(seed.conn, seed.account_id, [link.id], NOW)
    assert await go_stale(seed, NOW) == []


# ---- webhooks


async def test_webhook_is_kept_as_it_was_added_and_changed(seed: Seed) -> None:
    webhook = await new_webhook(seed, "link.reset")
    assert await list_webhooks(seed.conn, seed.account_id) == [webhook]
    changed = replace(
        webhook, url=URL + "2", events=["client.stale"], description="CRM", key_id="k2", generation=2, disabled_at=NOW
    )
    await update_webhook(seed.conn, changed)
    assert await list_webhooks(seed.conn, seed.account_id) == [changed]
    removed = replace(changed, removed_at=NOW)
    await update_webhook(seed.conn, removed)
    assert await list_webhooks(seed.conn, seed.account_id) == []
    assert await lock_webhook(seed.conn, seed.account_id, webhook.id) == removed


WRONG = {
    "webhooks_url_check": "url = 'ftp://crm.example'",
    "webhooks_events_check": "events = '{}'",
    "webhooks_description_check": "description = repeat('x', 201)",
    "webhooks_generation_check": "generation = 0",
    "webhooks_end_check": "removed_at = now()",
}


@pytest.mark.parametrize("constraint", WRONG)
async def test_impossible_webhook_is_refused_by_the_database(seed: Seed, constraint: str) -> None:
    await new_webhook(seed)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await seed.conn.execute(f"UPDATE webhooks SET {WRONG[constraint]}")
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize("events", [["link.paused"], ["link.reset", "webhook.test"]])
async def test_event_that_nobody_can_want_is_refused_by_the_database(seed: Seed, events: Sequence[str]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await add_webhook(seed.conn, seed.account_id, "k1", NOW, url=URL, events=events)


async def test_log_of_an_operator_is_told_as_the_operators(seed: Seed) -> None:
    await new_webhook(seed)
    link = await new_link(seed)
    await add_audit_entries(seed.conn, seed.account_id, "LINK_RESET", [link.id], actor=OPERATOR, now=NOW)
    assert (await facts(seed))["actor_type"] == "OPERATOR"
