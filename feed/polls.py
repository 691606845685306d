"""Who polls a link: noted in memory while polls are answered, written for many of them at once every few seconds.

Statistics never hold up or break a poll. A crash loses those since the last flush; a connection that is lost while
they are committed may count them twice.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from db.accounts import list_accounts
from db.audit import SERVICE, Network, add_audit_entries
from db.kept import delete_old_kept_feeds
from db.polls import (
    NOWHERE,
    AlarmingLink,
    AlarmLimits,
    Answer,
    Counted,
    PollCount,
    PollKey,
    delete_old_networks,
    list_alarming,
    list_stale_polls,
    lock_polled_links,
    note_stale,
    raise_alarms,
    save_networks,
    save_polls,
)
from db.pool import CONNECT_TIMEOUT, Conn, Pool, alone
from feed.clients import CLOUD_NAMES, client_name

FLUSH_SECONDS = 5.0
STOP_SECONDS = 10.0  # that the last flush may take
MOST_KEYS = 10_000  # kept in memory: clients of links by network
MOST_STALE = 1_000  # clients of an account that are noted to have gone stale in an hour
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)  # an alarm is about the last week
SERVED: tuple[Answer, ...] = ("CALENDAR", "UNCHANGED")
START, END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)  # of time
Key = tuple[UUID, UUID, str, Network, int | None, bool]  # the account, and what a `PollKey` is made of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PollSettings:
    """For how long networks are kept, and how many in a week raise an alarm; 0: not at all.

    Where networks are kept for less than a week an alarm is about those that are kept, and the clients that polled from
    them. A network that was forgotten is new when it polls again, even if it was accepted when an alarm was cleared.
    With 0 clients are counted without their networks, so for the whole week.
    """

    network_days: int = 30
    alarm_clients: int = 6
    alarm_networks: int = 40


@dataclass(slots=True)
class Tally:
    """Polls of one key, as they come."""

    first: datetime = END
    last: datetime = START
    polls: int = 0
    status: int = 0
    answer: Answer = "UNCHANGED"

    def add(self, first: datetime, last: datetime, polls: int, status: int, answer: Answer) -> None:
        self.polls += polls
        self.first = min(self.first, first)
        if last > self.last:
            self.last, self.status, self.answer = last, status, answer

    def count(self) -> PollCount:
        return PollCount(self.first, self.last, self.polls, self.status, self.answer)


class PollLog:
    """Notes polls, and writes them while it is `running`."""

    def __init__(
        self,
        pool: Pool,
        settings: PollSettings,
        flush_seconds: float = FLUSH_SECONDS,
        most_keys: int = MOST_KEYS,
        first_stale: timedelta = HOUR,
    ) -> None:
        """Until `first_stale` from now nobody is noted to have gone stale: they may have called while we were away."""
        self._pool = pool
        self._kept = timedelta(days=settings.network_days)
        self._limits = AlarmLimits(
            clients=settings.alarm_clients, networks=settings.alarm_networks, cloud=sorted(CLOUD_NAMES)
        )
        self._flush_seconds = flush_seconds
        self._most_keys = most_keys
        self._noted: dict[Key, Tally] = {}
        self._is_full = False  # once there was no room, until something is written again
        self._is_stuck = False  # while nothing or not all can be written
        self._tries: Counter[UUID] = Counter()  # of accounts, since they were last written
        self._swept_at = START  # when old networks were last to be forgotten
        self._unswept: list[UUID] = []  # accounts whose old networks still are
        self._stale_from = datetime.now(UTC) + first_stale

    def note(
        self,
        account_id: UUID,
        link_id: UUID,
        user_agent: str | None,
        network: Network | None,
        status: int,
        answer: Answer,
        at: datetime,
        generation: int | None = None,
    ) -> None:
        """Note a poll with a valid token. `generation` is the token's: only the present URL's polls raise an alarm."""
        kept_network = network if network and self._kept else NOWHERE
        key = (account_id, link_id, client_name(user_agent), kept_network, generation, answer in SERVED)
        if tally := self._tally(key):
            tally.add(at, at, 1, status, answer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flush every few seconds, and at the end once more."""
        stopping = asyncio.Event()
        task = asyncio.create_task(self._run(stopping))
        try:
            yield
        finally:
            stopping.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(task, STOP_SECONDS)
            if self._noted:
                log.warning("polls not written", keys=len(self._noted))

    async def flush(self) -> None:
        """Write what was noted; what cannot be written now is kept for the next flush."""
        batches: dict[UUID, list[Counted]] = defaultdict(list)
        for key, tally in self._noted.items():
            batches[key[0]].append((PollKey(*key[1:]), tally.count()))
        self._noted = {}
        errors: set[str] = set()
        try:
            if batches or self._is_to_sweep:
                async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
                    await self._save_all(conn, batches, errors)
                    await self._sweep(conn, errors)
        except Exception as exc:  # nothing about statistics is worth more than a line in the log
            errors.add(type(exc).__name__)
        finally:
            for account_id, batch in batches.items():
                for polled, count in batch:
                    if kept := self._tally((account_id, *polled)):
                        kept.add(*count)
            self._tell(errors)

    def _tally(self, key: Key) -> Tally | None:
        """None: there is no room for another one."""
        tally = self._noted.get(key)
        if tally is None and len(self._noted) < self._most_keys:
            tally = self._noted[key] = Tally()
        elif tally is None and not self._is_full:
            self._is_full = True
            log.warning("no room for more polls, they are not counted", keys=self._most_keys)
        return tally

    def _tell(self, errors: set[str]) -> None:
        """Say once that polls cannot be written."""
        if errors and not self._is_stuck:
            log.warning("polls cannot be written, they are kept for now", errors=sorted(errors))
        self._is_stuck = bool(errors)
        self._is_full = self._is_full and self._is_stuck

    async def _run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._flush_seconds)
            await self.flush()
        await self.flush()  # what was noted during the last one

    async def _save_all(self, conn: Conn, batches: dict[UUID, list[Counted]], errors: set[str]) -> None:
        """Save the batches and take them out; last those that failed before, whatever it cost the others then."""
        now = datetime.now(UTC)
        for account_id in sorted(batches, key=self._tries.__getitem__):
            self._tries[account_id] += 1
            if await alone(conn, partial(self._save, conn, account_id, batches[account_id], now), errors):
                del batches[account_id], self._tries[account_id]

    @property
    def _is_to_sweep(self) -> bool:
        return bool(self._unswept) or datetime.now(UTC) - self._swept_at > HOUR

    async def _sweep(self, conn: Conn, errors: set[str]) -> None:
        """Once an hour look at all accounts: nobody may poll the links of some any more."""
        now = datetime.now(UTC)
        if now - self._swept_at > HOUR:
            self._unswept = [account.account_id for account in await list_accounts(conn)]
            self._swept_at = now
        for account_id in tuple(self._unswept):
            if await alone(conn, partial(self._sweep_account, conn, account_id, now), errors):
                self._unswept.remove(account_id)

    async def _sweep_account(self, conn: Conn, account_id: UUID, now: datetime) -> None:
        """Forget old networks, and the feeds that were kept for a day that is over everywhere; and note who has gone
        stale: the database tells the account's webhooks of those.
        """
        await delete_old_kept_feeds(conn, account_id, (now - DAY).date())
        await delete_old_networks(conn, account_id, now - self._kept, now - max(self._kept, WEEK))
        if now >= self._stale_from:
            stale = await list_stale_polls(conn, account_id, now)
            if stale:
                await note_stale(conn, account_id, stale[:MOST_STALE])

    async def _save(self, conn: Conn, account_id: UUID, batch: Sequence[Counted], now: datetime) -> None:
        """Save the rows in one order in every process, then what waits for no other's rows: so there is no deadlock."""
        served = [(key, count) for key, count in batch if key.is_served]
        await save_polls(conn, account_id, batch)
        if served:
            await save_networks(conn, account_id, served)
            await self._raise_alarms(conn, account_id, sorted({key.link_id for key, _ in served}), now)

    async def _raise_alarms(self, conn: Conn, account_id: UUID, link_ids: Sequence[UUID], now: datetime) -> None:
        """Raise the alarms that are due: one process does it, and a link that was reset meanwhile is left in peace."""
        found = await self._list_alarming(conn, account_id, link_ids, now)
        if not found:
            return
        ids = [link.link_id for link in found]
        await lock_polled_links(conn, account_id, ids)
        found = await self._list_alarming(conn, account_id, ids, now)
        paused = await raise_alarms(conn, account_id, [link.link_id for link in found], now)
        for link in found:
            details = {"clients": link.clients, "networks": link.networks}
            await add_audit_entries(
                conn, account_id, "LINK_ALARMED", [link.link_id], actor=SERVICE, now=now, details=details
            )
        await add_audit_entries(conn, account_id, "LINK_PAUSED", paused, actor=SERVICE, now=now)

    async def _list_alarming(
        self, conn: Conn, account_id: UUID, link_ids: Sequence[UUID], now: datetime
    ) -> list[AlarmingLink]:
        networks_since = now - min(self._kept, WEEK)
        return await list_alarming(conn, account_id, link_ids, self._limits, now - WEEK, networks_since)
