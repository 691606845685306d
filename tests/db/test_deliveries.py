"""The queue of webhooks: what is claimed once, what is claimed again, and what is forgotten."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.deliveries import (
    Attempt,
    ClaimedDelivery,
    DeliveryError,
    DeliveryPage,
    DeliveryRecord,
    DueWebhook,
    add_delivery,
    claim_deliveries,
    delete_old_deliveries,
    hasten_deliveries,
    list_deliveries,
    list_due_webhooks,
    list_webhook_accounts,
    postpone_deliveries,
    save_attempts,
)
from db.pool import Conn
from db.webhooks import (
    WebhookRecord,
    add_webhook,
    delete_removed_webhooks,
    disable_failing,
    list_webhooks,
    update_webhook,
)
from tests.seed import HOUR, NOW, Seed, plant

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
URL = "https://crm.example/hooks"


@pytest.fixture
async def webhook(seed: Seed) -> WebhookRecord:
    return await new_webhook(seed)


async def new_webhook(seed: Seed) -> WebhookRecord:
    return await add_webhook(seed.conn, seed.account_id, "k1", NOW, url=URL, events=["link.reset"])


async def queue(seed: Seed, webhook: WebhookRecord, *times: datetime) -> list[UUID]:
    added = [await add_delivery(seed.conn, seed.account_id, webhook.id, "webhook.test", at) for at in times]
    return [delivery.id for delivery in added]


async def claim(
    seed: Seed, webhook: WebhookRecord, now: datetime = NOW, most: int = 99, conn: "Conn | None" = None
) -> list[ClaimedDelivery]:
    found = await claim_deliveries(conn or seed.conn, seed.account_id, {webhook.id: most}, now, now + MINUTE)
    assert {delivery.webhook_id for delivery in found} <= {webhook.id}
    return found


async def all_of(seed: Seed, webhook: WebhookRecord) -> list[DeliveryRecord]:
    (found,) = await list_deliveries(seed.conn, seed.account_id, [DeliveryPage(webhook.id, 500, None)])
    return found


def attempt(
    delivery: ClaimedDelivery,
    error: DeliveryError | None = None,
    status: int | None = None,
    next_: datetime | None = None,
) -> Attempt:
    return Attempt(delivery=delivery, at=NOW + SECOND, status=status, error=error, next_attempt_at=next_)


async def test_claimed_delivery_has_all_that_is_needed_to_send_it(seed: Seed, webhook: WebhookRecord) -> None:
    (id_,) = await queue(seed, webhook, NOW)
    assert await claim(seed, webhook) == [
        ClaimedDelivery(
            account_id=seed.account_id, id=id_, webhook_id=webhook.id, url=URL, key_id="k1", generation=1,
            event="webhook.test", facts={}, created_at=NOW, attempts=1,
        )
    ]  # fmt: skip


async def test_claimed_delivery_is_due_again_only_when_its_claim_has_ended(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    assert len(await claim(seed, webhook)) == 1
    assert await claim(seed, webhook, NOW + MINUTE - SECOND) == []
    (again,) = await claim(seed, webhook, NOW + MINUTE)
    assert again.attempts == 2


async def test_so_many_are_claimed_and_the_longest_due_first(seed: Seed, webhook: WebhookRecord) -> None:
    ids = await queue(seed, webhook, NOW - MINUTE, NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW + MINUTE)
    other = await new_webhook(seed)
    (others,) = await queue(seed, other, NOW - HOUR)
    assert [delivery.id for delivery in await claim(seed, webhook, most=2)] == [ids[1], ids[2]]
    assert [delivery.id for delivery in await claim(seed, webhook, most=2)] == [ids[0]]
    both = await claim_deliveries(
        seed.conn, seed.account_id, {webhook.id: 1, other.id: 1}, NOW + 2 * MINUTE, NOW + 3 * MINUTE
    )
    assert [delivery.id for delivery in both] == [others, ids[0]]


async def test_what_is_claimed_at_the_same_moment_is_claimed_once(seed: Seed, webhook: WebhookRecord, dsn: str) -> None:
    ids = await queue(seed, webhook, *[NOW] * 200)

    async def claim_some() -> list[UUID]:
        conn, found = await asyncpg.connect(dsn), list[UUID]()
        while claimed := await claim(seed, webhook, most=7, conn=conn):
            found += [delivery.id for delivery in claimed]
        await conn.close()
        return found

    found = await asyncio.gather(*(claim_some() for _ in range(4)))
    assert sorted(id_ for each in found for id_ in each) == sorted(ids)


async def test_what_another_is_claiming_is_not_waited_for(seed: Seed, webhook: WebhookRecord, dsn: str) -> None:
    first, second = await queue(seed, webhook, NOW - MINUTE, NOW)
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        assert [delivery.id for delivery in await claim(seed, webhook, most=1, conn=other)] == [first]
        async with asyncio.timeout(5):
            assert [delivery.id for delivery in await claim(seed, webhook)] == [second]
    await other.close()


async def test_nothing_of_a_disabled_webhook_is_due_or_claimed(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    due = DueWebhook(account_id=seed.account_id, webhook_id=webhook.id, key_id="k1")
    assert await list_due_webhooks(seed.conn, NOW - SECOND) == []
    assert await list_due_webhooks(seed.conn, NOW) == [due]
    await update_webhook(seed.conn, replace(webhook, disabled_at=NOW))
    assert await list_due_webhooks(seed.conn, NOW) == []
    assert await claim(seed, webhook) == []
    await update_webhook(seed.conn, webhook)
    assert await list_due_webhooks(seed.conn, NOW) == [due]


async def test_nothing_of_a_suspended_account_is_due(seed: Seed, webhook: WebhookRecord) -> None:
    other = await plant(seed.conn, "Other")
    theirs = await new_webhook(other)
    await queue(seed, webhook, NOW)
    await queue(other, theirs, NOW)
    await seed.conn.execute("UPDATE accounts SET suspended_at = now() WHERE account_id = $1", seed.account_id)
    assert [due.webhook_id for due in await list_due_webhooks(seed.conn, NOW)] == [theirs.id]
    assert await list_webhook_accounts(seed.conn) == sorted([seed.account_id, other.account_id])


async def test_delivery_that_was_taken_is_done(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    (claimed,) = await claim(seed, webhook)
    await save_attempts(seed.conn, seed.account_id, [attempt(claimed, status=204)])
    (found,) = await all_of(seed, webhook)
    assert found == DeliveryRecord(
        account_id=seed.account_id, id=claimed.id, webhook_id=webhook.id, event="webhook.test", created_at=NOW,
        attempts=1, next_attempt_at=None, delivered_at=NOW + SECOND, last_status=204, last_error=None,
    )  # fmt: skip
    assert await claim(seed, webhook, NOW + DAY) == []


async def test_delivery_that_failed_is_due_at_its_next_attempt(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    (claimed,) = await claim(seed, webhook)
    await save_attempts(seed.conn, seed.account_id, [attempt(claimed, "STATUS", 500, NOW + HOUR)])
    (found,) = await all_of(seed, webhook)
    assert (found.next_attempt_at, found.delivered_at) == (NOW + HOUR, None)
    assert (found.last_status, found.last_error) == (500, "STATUS")
    assert await claim(seed, webhook, NOW + HOUR - SECOND) == []
    assert len(await claim(seed, webhook, NOW + HOUR)) == 1


async def test_failure_that_is_told_after_the_claim_ended_changes_nothing(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    (slow,) = await claim(seed, webhook)
    (quick,) = await claim(seed, webhook, NOW + MINUTE)
    await save_attempts(seed.conn, seed.account_id, [attempt(slow, "TIMEOUT", None, NOW + DAY)])
    (found,) = await all_of(seed, webhook)
    assert (found.last_error, found.next_attempt_at) == (None, NOW + 2 * MINUTE)
    await save_attempts(seed.conn, seed.account_id, [attempt(slow, status=200)])  # which its receiver has
    await save_attempts(seed.conn, seed.account_id, [attempt(quick, "TIMEOUT", None, NOW + DAY)])
    (found,) = await all_of(seed, webhook)
    assert (found.delivered_at, found.next_attempt_at, found.last_error) == (NOW + SECOND, None, None)


async def test_attempts_of_many_deliveries_are_written_together(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, *[NOW] * 3)
    first, second, third = await claim(seed, webhook)
    unknown = replace(third, id=uuid4())
    attempts = [attempt(third, status=200), attempt(first, "TLS", None, NOW + HOUR), attempt(unknown, status=200)]
    await save_attempts(seed.conn, seed.account_id, attempts)
    found = {each.id: (each.delivered_at is not None, each.last_error) for each in await all_of(seed, webhook)}
    assert found == {first.id: (False, "TLS"), second.id: (False, None), third.id: (True, None)}


async def test_delivery_is_put_off_without_an_attempt_until_it_is_hastened(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    await postpone_deliveries(seed.conn, seed.account_id, [webhook.id], NOW, NOW + HOUR, "NO_KEY")
    (found,) = await all_of(seed, webhook)
    assert (found.attempts, found.next_attempt_at, found.last_error) == (0, NOW + HOUR, "NO_KEY")
    await hasten_deliveries(seed.conn, seed.account_id, webhook.id, "TIMEOUT", NOW)
    assert await claim(seed, webhook) == []
    await hasten_deliveries(seed.conn, seed.account_id, webhook.id, "NO_KEY", NOW)
    assert len(await claim(seed, webhook)) == 1


async def test_old_deliveries_are_forgotten_some_at_a_time(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, *[NOW - DAY - SECOND] * 5, NOW - DAY)
    other = await plant(seed.conn, "Other")
    theirs = await new_webhook(other)
    await queue(other, theirs, NOW - 2 * DAY)
    assert [await delete_old_deliveries(seed.conn, seed.account_id, NOW - DAY, 3) for _ in range(3)] == [3, 2, 0]
    assert [each.created_at for each in await all_of(seed, webhook)] == [NOW - DAY]
    assert len(await all_of(other, theirs)) == 1


async def test_removed_webhooks_are_forgotten_with_their_deliveries(seed: Seed, webhook: WebhookRecord) -> None:
    await queue(seed, webhook, NOW)
    await update_webhook(seed.conn, replace(webhook, disabled_at=NOW, removed_at=NOW))
    await delete_removed_webhooks(seed.conn, seed.account_id, NOW)
    assert len(await all_of(seed, webhook)) == 1
    await delete_removed_webhooks(seed.conn, seed.account_id, NOW + SECOND)
    assert await seed.conn.fetch("SELECT id FROM webhooks UNION ALL SELECT id FROM webhook_deliveries") == []


async def test_failing_webhook_is_disabled_once_unless_something_was_delivered(
    seed: Seed, webhook: WebhookRecord
) -> None:
    works = await new_webhook(seed)
    await queue(seed, works, NOW)
    (claimed,) = await claim(seed, works)
    await save_attempts(seed.conn, seed.account_id, [attempt(claimed, status=200)])  # a second after NOW
    failing = {webhook.id: NOW, works.id: NOW}
    assert await disable_failing(seed.conn, seed.account_id, failing, NOW + HOUR) == [webhook.id]
    assert await disable_failing(seed.conn, seed.account_id, failing, NOW + DAY) == []
    assert [each.disabled_at for each in await list_webhooks(seed.conn, seed.account_id)] == [NOW + HOUR, None]
    later = {works.id: NOW + MINUTE}
    assert await disable_failing(seed.conn, seed.account_id, later, NOW + HOUR) == [works.id]


async def test_pages_of_several_webhooks_are_each_their_own(seed: Seed, webhook: WebhookRecord) -> None:
    other = await new_webhook(seed)
    ids = await queue(seed, webhook, NOW - MINUTE, NOW, NOW + MINUTE)
    (others,) = await queue(seed, other, NOW)
    pages = [
        DeliveryPage(webhook.id, 2, None),
        DeliveryPage(other.id, 2, None),
        DeliveryPage(webhook.id, 2, (NOW + MINUTE, ids[2])),
        DeliveryPage(uuid4(), 2, None),
    ]
    found = await list_deliveries(seed.conn, seed.account_id, pages)
    assert [[each.id for each in page] for page in found] == [[ids[2], ids[1]], [others], [ids[1], ids[0]], []]
