"""Delivers what is in the queue of webhooks, in each process: what one has claimed no other sends at the same time.

Whatever happens, a delivery is sent until its receiver has taken it or it is given up: after a crash its claim ends by
itself. While the database is away nothing is claimed, and what became of the last deliveries is kept until it is back.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from api.webhooks.receivers import Answer, Receivers
from db.audit import SERVICE, add_audit_entries
from db.deliveries import (
    Attempt,
    ClaimedDelivery,
    DueWebhook,
    claim_deliveries,
    delete_old_deliveries,
    list_due_webhooks,
    list_webhook_accounts,
    postpone_deliveries,
    save_attempts,
)
from db.pool import CONNECT_TIMEOUT, Conn, Pool, alone
from db.webhooks import delete_removed_webhooks, disable_failing
from feed.tokens import Keyring

# Seconds from one attempt to the next, as Standard Webhooks have them; after the last of them it is given up.
DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
GONE = 410  # a receiver that wants nothing any more
SPREAD = 0.1  # of a delay is chance, so that what failed together does not come again together
MOST_DELETED = 1_000  # at once
KEPT = timedelta(days=30)
HOUR = timedelta(hours=1)
GATHER_SECONDS = 0.05  # in which others come to their end, to be written together
STOP_SECONDS, FINISH_SECONDS = 5.0, 2.0  # in which all ends; for deliveries under way when the service stops

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    delays: Sequence[float] = DELAYS
    wake_seconds: float = 1.0  # after which the queue is looked at again
    claim_seconds: float = 60.0  # after which what was claimed is due again; an attempt takes a few of them
    most: int = 100  # deliveries under way in this process
    most_each: int = 4  # of one webhook: the others have theirs, however long it takes to answer
    key_seconds: float = 60.0  # after which a webhook whose key is not here is looked at again


class Deliveries:
    """Delivers while it is `running`."""

    def __init__(self, pool: Pool, keyring: Keyring, receivers: Receivers, settings: DeliverySettings) -> None:
        self._pool = pool
        self._keyring = keyring
        self._receivers = receivers
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[UUID] = Counter()  # by webhook
        self._done: list[Attempt] = []  # not written yet
        self._woken = asyncio.Event()
        self._keyless: set[UUID] = set()  # webhooks whose key was missed, and that was said
        self._is_stuck = False  # while the database is away
        self._swept_at = datetime.min.replace(tzinfo=UTC)
        self._unswept: list[UUID] = []  # accounts that may have old deliveries

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        async with self._receivers.open():
            task = asyncio.create_task(self._run(stopping))
            try:
                yield
            finally:
                stopping.set()
                self._woken.set()
                with suppress(TimeoutError):
                    await asyncio.wait_for(task, STOP_SECONDS)
                for sending in self._tasks:
                    sending.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self._turn()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._settings.wake_seconds)
                await asyncio.sleep(GATHER_SECONDS)
            self._woken.clear()
        if self._tasks:  # what does not come to its end in this moment is sent again when its claim has ended
            await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
        if self._done:
            await self._turn(claiming=False)

    async def _turn(self, *, claiming: bool = True) -> None:
        """Write what became of deliveries, and send what is due."""
        errors: set[str] = set()
        try:
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
                await self._save_all(conn, errors)
                if claiming:
                    await self._claim_all(conn, errors)
                    await self._sweep(conn, errors)
        except Exception as exc:  # the database is away, or does what nobody has thought of: the next turn tries again
            errors.add(type(exc).__name__)
        if errors and not self._is_stuck:
            log.warning("webhooks have to wait", errors=sorted(errors))
        self._is_stuck = bool(errors)

    async def _save_all(self, conn: Conn, errors: set[str]) -> None:
        done, self._done = self._done, []
        batches: dict[UUID, list[Attempt]] = defaultdict(list)
        for attempt in done:
            batches[attempt.delivery.account_id].append(attempt)
        try:
            for account_id in tuple(batches):
                if await alone(conn, partial(self._save, conn, account_id, batches[account_id]), errors):
                    del batches[account_id]
        finally:
            self._done += [attempt for batch in batches.values() for attempt in batch]

    async def _save(self, conn: Conn, account_id: UUID, attempts: Sequence[Attempt]) -> None:
        """Webhooks are locked before deliveries, as by those who change them."""
        if failing := _failing(attempts):
            await self._disable(conn, account_id, failing, {a.delivery.webhook_id for a in attempts if _is_gone(a)})
        await save_attempts(conn, account_id, attempts)

    async def _disable(self, conn: Conn, account_id: UUID, failing: dict[UUID, datetime], gone: set[UUID]) -> None:
        now = datetime.now(UTC)
        for webhook_id in await disable_failing(conn, account_id, failing, now):
            reason = "GONE" if webhook_id in gone else "FAILING"
            await add_audit_entries(
                conn, account_id, "WEBHOOK_DISABLED", [webhook_id], actor=SERVICE, now=now, details={"reason": reason}
            )
            log.warning("webhook disabled", webhook_id=str(webhook_id), reason=reason)

    async def _claim_all(self, conn: Conn, errors: set[str]) -> None:
        """Claim what is due, of each account in a transaction of its own, the accounts each time in another order."""
        due: dict[UUID, list[DueWebhook]] = defaultdict(list)
        for webhook in await list_due_webhooks(conn, datetime.now(UTC)):
            due[webhook.account_id].append(webhook)
        for account_id in random.sample(list(due), len(due)):
            claimed: list[ClaimedDelivery] = []
            if await alone(conn, partial(self._claim, conn, account_id, due[account_id], claimed), errors):
                for delivery in claimed:
                    self._start(delivery)

    async def _claim(
        self, conn: Conn, account_id: UUID, due: Sequence[DueWebhook], claimed: list[ClaimedDelivery]
    ) -> None:
        now = datetime.now(UTC)
        if keyless := [webhook for webhook in due if webhook.key_id not in self._keyring]:
            await self._postpone(conn, account_id, keyless, now)
        most = self._most([webhook.webhook_id for webhook in due if webhook.key_id in self._keyring])
        if most:
            until = now + timedelta(seconds=self._settings.claim_seconds)
            claimed += await claim_deliveries(conn, account_id, most, now, until)

    def _most(self, webhook_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many deliveries of which webhook there is room for."""
        most: dict[UUID, int] = {}
        room = self._settings.most - len(self._tasks)
        for webhook_id in webhook_ids:
            free = min(room, self._settings.most_each - self._under_way[webhook_id])
            if free > 0:
                most[webhook_id] = free
                room -= free
        return most

    async def _postpone(self, conn: Conn, account_id: UUID, keyless: Sequence[DueWebhook], now: datetime) -> None:
        for webhook in keyless:
            if webhook.webhook_id not in self._keyless:
                self._keyless.add(webhook.webhook_id)
                log.warning("key of a webhook is not here", webhook_id=str(webhook.webhook_id), key_id=webhook.key_id)
        ids, until = [webhook.webhook_id for webhook in keyless], now + timedelta(seconds=self._settings.key_seconds)
        await postpone_deliveries(conn, account_id, ids, now, until, "NO_KEY")

    def _start(self, delivery: ClaimedDelivery) -> None:
        self._under_way[delivery.webhook_id] += 1
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, delivery))

    def _end(self, delivery: ClaimedDelivery, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way -= Counter([delivery.webhook_id])  # which forgets those of which nothing is under way
        self._woken.set()

    async def _deliver(self, delivery: ClaimedDelivery) -> None:
        at = datetime.now(UTC)
        try:
            answer = await self._receivers.send(delivery, at)
        except Exception as exc:  # nobody has thought of it; it must not be sent for ever
            log.error("webhook cannot be sent", delivery_id=str(delivery.id), error=type(exc).__name__)
            answer = Answer(error="UNREACHABLE")
        self._done.append(self._attempt(delivery, datetime.now(UTC), answer))

    def _attempt(self, delivery: ClaimedDelivery, now: datetime, answer: Answer) -> Attempt:
        delays = self._settings.delays
        is_last = answer.error is None or answer.status == GONE or delivery.attempts > len(delays)
        next_attempt_at = None
        if not is_last:
            delay = delays[delivery.attempts - 1] * random.uniform(1, 1 + SPREAD)  # noqa: S311  # no secret
            next_attempt_at = now + timedelta(seconds=delay)
        return Attempt(
            delivery=delivery, at=now, status=answer.status, error=answer.error, next_attempt_at=next_attempt_at
        )

    async def _sweep(self, conn: Conn, errors: set[str]) -> None:
        """Once an hour forget what is old, a piece of one account at a time."""
        now = datetime.now(UTC)
        if now - self._swept_at > HOUR:
            self._unswept, self._swept_at = await list_webhook_accounts(conn), now
        if self._unswept:
            account_id = self._unswept.pop()
            await alone(conn, partial(self._delete_old, conn, account_id, now - KEPT), errors)

    async def _delete_old(self, conn: Conn, account_id: UUID, before: datetime) -> None:
        if await delete_old_deliveries(conn, account_id, before, MOST_DELETED) == MOST_DELETED:
            self._unswept.append(account_id)
        else:
            await delete_removed_webhooks(conn, account_id, before)


def _is_gone(attempt: Attempt) -> bool:
    return attempt.status == GONE


def _failing(attempts: Sequence[Attempt]) -> dict[UUID, datetime]:
    """The webhooks whose deliveries are given up, and since when nothing must have been delivered to disable them."""
    failing: dict[UUID, datetime] = {}
    for attempt in attempts:
        if attempt.error and attempt.next_attempt_at is None:
            delivery = attempt.delivery
            since = attempt.at if _is_gone(attempt) else delivery.created_at
            failing[delivery.webhook_id] = max(since, failing.get(delivery.webhook_id, since))
    return failing
