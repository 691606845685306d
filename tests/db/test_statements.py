"""What every statement has to keep to grow: read with an SQL parser from what the functions of `db` really send."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from types import ModuleType
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import sqlglot
from sqlglot import exp

from db import (
    access,
    accounts,
    activities,
    audit,
    calendars,
    changes,
    deliveries,
    fragments,
    gate,
    kept,
    keys,
    links,
    placements,
    polls,
    users,
    webhooks,
)
from tests.db.test_schema import TABLES
from tests.seed import NOW, Seed, meeting

MODULES: list[ModuleType] = [
    access, accounts, activities, audit, calendars, changes, deliveries, fragments, gate, kept, keys, links, placements,
    polls, users, webhooks,
]  # fmt: skip
# A command's, of those who deliver, and of polls of one moment, over all accounts; and what finds a token's account.
OPERATORS_OWN = {
    "list_accounts", "lock_accounts", "count_key_links", "count_key_webhooks", "list_accounts_called",
    "list_due_webhooks", "list_webhook_accounts", "list_stamps_across_accounts",
    "list_unrendered_accounts",
}  # fmt: skip

RENDERED = fragments.SelectedActivity(
    activity_id=uuid4(),
    revision=0,
    changed_at=NOW,
    placings=0,
    placed_at=None,
    reason=None,
    begins_at=NOW,
    due_at=None,
    due_on=None,
    is_task=False,
    overdue=False,
    busy=False,
    own=True,
    calendars=(),
    colors=(),
    owner=None,
    variant="full",
    day=None,
    is_rendered=True,
    ics=b"BEGIN:VEVENT",
)
POLLED = (
    polls.PollKey(uuid4(), "curl", ip_network("192.0.2.0/24"), 1, True),
    polls.PollCount(NOW, NOW, 1, 200, "CALENDAR"),
)
CLIENT = polls.PollRecord(
    link_id=uuid4(), client="curl", first_polled_at=NOW, last_polled_at=NOW, polls=1, last_status=200,
    last_answer="CALENDAR", usual_seconds=None,
)  # fmt: skip
CLAIMED = deliveries.ClaimedDelivery(
    account_id=uuid4(), id=uuid4(), webhook_id=uuid4(), url="", key_id="k1", generation=1, event="webhook.test",
    facts={}, created_at=NOW, attempts=1,
)  # fmt: skip
TRIED = deliveries.Attempt(delivery=CLAIMED, at=NOW, status=200, error=None)
KEPT = kept.KeptRecord(
    fingerprint=b"made so", day=NOW.date(), versions={uuid4(): changes.Version(1, NOW)}, activity_ids=[uuid4()],
    sizes=[9], events=[1], counts=[1], deflated=[b"deflated"],
)  # fmt: skip
LIMITS = polls.AlarmLimits(clients=6, networks=40, cloud=["Google Calendar"])


async def lock_accounts(seed: Seed) -> None:
    async with seed.conn.transaction():
        await accounts.lock_accounts(seed.conn)


async def add_webhook(seed: Seed) -> webhooks.WebhookRecord:
    return await webhooks.add_webhook(
        seed.conn, seed.account_id, "k1", NOW, url="https://crm.example/", events=["link.reset"]
    )


async def update_webhook(seed: Seed) -> None:
    await webhooks.update_webhook(seed.conn, await add_webhook(seed))


async def add_delivery(seed: Seed) -> None:
    webhook = await add_webhook(seed)
    await deliveries.add_delivery(seed.conn, seed.account_id, webhook.id, "webhook.test", NOW)


def placed(seed: Seed) -> list[placements.Placement]:
    """One that is put into a calendar, and one that is taken out of its last."""
    times: dict[str, Any] = {"revision": 0, "created_at": NOW, "changed_at": NOW}
    gone = activities.ActivityRecord(id=uuid4(), type="CALL", status="CONFIRMED", external_id="c1", **times)
    here = frozenset([seed.own])
    added = placements.Placement(activity=meeting(), calendar_ids=here)
    removed = placements.Placement(
        activity=gone, calendar_ids=frozenset(), before=gone, calendar_ids_before=here, id=gone.id
    )
    return [added, removed]


CALLS: dict[str, Callable[[Seed], Awaitable[object]]] = {
    "list_access": lambda s: access.list_access(s.conn, s.account_id, [s.own]),
    "plan_anew": lambda s: access.plan_anew(s.conn),
    "grant_pairs": lambda s: access.grant_pairs(s.conn, s.account_id, [(s.own, s.ben.id)], NOW),
    "withdraw_pairs": lambda s: access.withdraw_pairs(s.conn, s.account_id, [(s.own, s.anna.id)], NOW),
    "add_account": lambda s: accounts.add_account(s.conn, "Other", NOW),
    "lock_accounts": lock_accounts,
    "suspend_account": lambda s: accounts.suspend_account(s.conn, s.account_id, NOW),
    "lock_account": lambda s: accounts.lock_account(s.conn, s.account_id),
    "get_policy": lambda s: accounts.get_policy(s.conn, s.account_id),
    "lock_policy": lambda s: accounts.lock_policy(s.conn, s.account_id),
    "update_policy": lambda s: accounts.update_policy(s.conn, s.account_id, accounts.PolicyRecord(most_links=3)),
    "list_accounts": lambda s: accounts.list_accounts(s.conn),
    "list_accounts_called": lambda s: accounts.list_accounts_called(s.conn, "crm-1"),
    "upsert_activities": lambda s: activities.upsert_activities(s.conn, s.account_id, [meeting()], NOW),
    "add_entries": lambda s: activities.add_entries(s.conn, s.account_id, s.own, [meeting()]),
    "lock_activities": lambda s: activities.lock_activities(s.conn, s.account_id, [("CALL", "c1")], [uuid4()]),
    "delete_activities": lambda s: activities.delete_activities(s.conn, s.account_id, [uuid4()]),
    "save_placements": lambda s: placements.save_placements(s.conn, s.account_id, placed(s), NOW),
    "list_placings": lambda s: placements.list_placings(s.conn, s.account_id, [uuid4()]),
    "page_activities": lambda s: activities.page_activities(
        s.conn, s.account_id, s.anna.id, s.own, activities.ActivityFilter(), 9, uuid4()
    ),
    "get_visible_activity": lambda s: activities.get_visible_activity(s.conn, s.account_id, s.anna.id, uuid4()),
    "list_window": lambda s: placements.list_window(s.conn, s.account_id, s.own, NOW, NOW),
    "is_visible_calendar": lambda s: calendars.is_visible_calendar(s.conn, s.account_id, s.anna.id, s.own),
    "list_calendars_of_activities": lambda s: calendars.list_calendars_of_activities(
        s.conn, s.account_id, s.anna.id, [uuid4()]
    ),
    "lock_calendar_ids": lambda s: calendars.lock_calendar_ids(s.conn, s.account_id, ["sales"]),
    "lock_calendar_versions": lambda s: calendars.lock_calendar_versions(s.conn, s.account_id, [s.own]),
    "list_activities": lambda s: activities.list_activities(s.conn, s.account_id, [uuid4()]),
    "add_audit_entries": lambda s: audit.add_audit_entries(
        s.conn, s.account_id, "LINK_RESET", [uuid4()], actor=audit.OPERATOR, now=NOW
    ),
    "name_actor": lambda s: audit.name_actor(s.conn, audit.OPERATOR),
    "add_refused_call": lambda s: audit.add_refused_call(s.conn, s.account_id, audit.OPERATOR, NOW, NOW),
    "page_audit_log": lambda s: audit.page_audit_log(s.conn, s.account_id, audit.AuditFilter(), 9, (NOW, uuid4())),
    "get_audit_entry": lambda s: audit.get_audit_entry(s.conn, s.account_id, uuid4()),
    "list_actor_names": lambda s: audit.list_actor_names(s.conn, s.account_id, [s.anna.id]),
    "list_visible_calendars": lambda s: calendars.list_visible_calendars(s.conn, s.account_id, s.anna.id),
    "list_calendars": lambda s: calendars.list_calendars(s.conn, s.account_id),
    "page_calendars": lambda s: calendars.page_calendars(
        s.conn, s.account_id, calendars.WantedCalendars(visible_to=s.anna.id), 9, uuid4()
    ),
    "page_user_calendars": lambda s: calendars.page_user_calendars(s.conn, s.account_id, [s.anna.id], 9, uuid4()),
    "find_calendars": lambda s: calendars.find_calendars(s.conn, s.account_id, ["c1", "c2"], ["c2"]),
    "lock_calendars": lambda s: calendars.lock_calendars(s.conn, s.account_id, ["c1"]),
    "save_calendars": lambda s: calendars.save_calendars(s.conn, s.account_id, [], NOW),
    "add_calendar": lambda s: calendars.add_calendar(s.conn, s.account_id, NOW, name="Other"),
    "grant_access": lambda s: calendars.grant_access(s.conn, s.account_id, s.own, [s.ben.id], NOW),
    "select_activities": lambda s: fragments.select_activities(s.conn, s.selection(s.own), left_out=True),
    "save_fragments": lambda s: fragments.save_fragments(s.conn, s.account_id, [RENDERED], NOW.date()),
    "delete_stale_fragments": lambda s: fragments.delete_stale_fragments(s.conn, s.account_id, [uuid4()], NOW.date()),
    "list_changed_activities": lambda s: changes.list_changed_activities(
        s.conn, s.account_id, {s.own: changes.Version(1, NOW)}, {s.own: changes.Version(2, NOW)}
    ),
    "list_unrendered_accounts": lambda s: changes.list_unrendered_accounts(s.conn),
    "claim_unrendered": lambda s: changes.claim_unrendered(s.conn, s.account_id, NOW),
    "read_kept_feed": lambda s: kept.read_kept_feed(s.conn, s.account_id, uuid4(), b"made so"),
    "save_kept_feed": lambda s: kept.save_kept_feed(s.conn, s.account_id, uuid4(), KEPT),
    "delete_old_kept_feeds": lambda s: kept.delete_old_kept_feeds(s.conn, s.account_id, NOW.date()),
    "list_differing_links": lambda s: links.list_differing_links(s.conn, s.account_id, [s.own], 9),
    "list_stamps": lambda s: gate.list_stamps(s.conn, s.account_id, [uuid4()]),
    "list_stamps_across_accounts": lambda s: gate.list_stamps_across_accounts(
        s.conn, [gate.LinkKey(s.account_id, uuid4())]
    ),
    "get_gate": lambda s: gate.get_gate(s.conn, s.account_id, uuid4(), 1),
    "list_links": lambda s: links.list_links(s.conn, s.account_id, s.anna.id),
    "count_links": lambda s: links.count_links(s.conn, s.account_id, s.anna.id),
    "get_link": lambda s: links.get_link(s.conn, s.account_id, s.anna.id, None, ""),
    "get_owned_link": lambda s: links.get_owned_link(s.conn, s.account_id, uuid4()),
    "page_links": lambda s: links.page_links(s.conn, s.account_id, links.LinkFilter(), 9, uuid4()),
    "add_link": lambda s: links.add_link(s.conn, s.account_id, s.anna.id, None, "", "k1", NOW),
    "lock_link": lambda s: links.lock_link(s.conn, s.account_id, uuid4()),
    "lock_filtered_links": lambda s: links.lock_filtered_links(s.conn, s.account_id, links.LinkFilter()),
    "update_link": lambda s: links.update_link(s.conn, s.account_id, uuid4(), "iPhone", {}, None, "OWNER"),
    "reset_links": lambda s: links.reset_links(s.conn, s.account_id, [uuid4()], "k1", NOW),
    "pause_links": lambda s: links.pause_links(s.conn, s.account_id, [uuid4()], "OWNER", NOW),
    "resume_links": lambda s: links.resume_links(s.conn, s.account_id, [uuid4()], NOW),
    "revoke_links": lambda s: links.revoke_links(s.conn, s.account_id, [uuid4()], NOW),
    "limit_links": lambda s: links.limit_links(s.conn, s.account_id, [uuid4()], NOW),
    "add_api_key": lambda s: keys.add_api_key(
        s.conn, s.account_id, uuid4(), NOW, name="CRM", key_hash=b"", scopes=["feeds:read"]
    ),
    "get_api_key": lambda s: keys.get_api_key(s.conn, s.account_id, uuid4(), NOW),
    "had_api_key": lambda s: keys.had_api_key(s.conn, s.account_id, uuid4(), b""),
    "list_api_keys": lambda s: keys.list_api_keys(s.conn, s.account_id),
    "page_api_keys": lambda s: keys.page_api_keys(s.conn, s.account_id, 9, uuid4()),
    "get_kept_api_key": lambda s: keys.get_kept_api_key(s.conn, s.account_id, uuid4()),
    "lock_api_key": lambda s: keys.lock_api_key(s.conn, s.account_id, uuid4()),
    "update_last_used": lambda s: keys.update_last_used(s.conn, s.account_id, uuid4(), NOW),
    "revoke_api_key": lambda s: keys.revoke_api_key(s.conn, s.account_id, uuid4(), NOW),
    "count_key_links": lambda s: keys.count_key_links(s.conn),
    "lock_links_off_key": lambda s: keys.lock_links_off_key(s.conn, s.account_id, "k2", None),
    "end_graces_off_key": lambda s: keys.end_graces_off_key(s.conn, s.account_id, "k2", None, NOW),
    "save_polls": lambda s: polls.save_polls(s.conn, s.account_id, [POLLED]),
    "save_networks": lambda s: polls.save_networks(s.conn, s.account_id, [POLLED]),
    "delete_old_networks": lambda s: polls.delete_old_networks(s.conn, s.account_id, NOW, NOW),
    "list_polls": lambda s: polls.list_polls(s.conn, s.account_id, [uuid4()]),
    "list_alarming": lambda s: polls.list_alarming(s.conn, s.account_id, [uuid4()], LIMITS, NOW),
    "lock_polled_links": lambda s: polls.lock_polled_links(s.conn, s.account_id, [uuid4()]),
    "raise_alarms": lambda s: polls.raise_alarms(s.conn, s.account_id, [uuid4()], NOW),
    "list_stale_polls": lambda s: polls.list_stale_polls(s.conn, s.account_id, NOW),
    "note_stale": lambda s: polls.note_stale(s.conn, s.account_id, [CLIENT]),
    "list_webhooks": lambda s: webhooks.list_webhooks(s.conn, s.account_id),
    "get_webhook": lambda s: webhooks.get_webhook(s.conn, s.account_id, uuid4()),
    "get_delivery": lambda s: deliveries.get_delivery(s.conn, s.account_id, uuid4()),
    "lock_webhook": lambda s: webhooks.lock_webhook(s.conn, s.account_id, uuid4()),
    "add_webhook": add_webhook,
    "update_webhook": update_webhook,
    "count_key_webhooks": lambda s: webhooks.count_key_webhooks(s.conn),
    "disable_failing": lambda s: webhooks.disable_failing(s.conn, s.account_id, {uuid4(): NOW}, NOW),
    "delete_removed_webhooks": lambda s: webhooks.delete_removed_webhooks(s.conn, s.account_id, NOW),
    "list_due_webhooks": lambda s: deliveries.list_due_webhooks(s.conn, NOW),
    "list_webhook_accounts": lambda s: deliveries.list_webhook_accounts(s.conn),
    "claim_deliveries": lambda s: deliveries.claim_deliveries(s.conn, s.account_id, {uuid4(): 4}, NOW, NOW),
    "save_attempts": lambda s: deliveries.save_attempts(s.conn, s.account_id, [TRIED]),
    "postpone_deliveries": lambda s: deliveries.postpone_deliveries(
        s.conn, s.account_id, [uuid4()], NOW, NOW, "NO_KEY"
    ),
    "hasten_deliveries": lambda s: deliveries.hasten_deliveries(s.conn, s.account_id, uuid4(), "NO_KEY", NOW),
    "add_delivery": add_delivery,
    "list_deliveries": lambda s: deliveries.list_deliveries(
        s.conn, s.account_id, [deliveries.DeliveryPage(uuid4(), 9, (NOW, uuid4()))]
    ),
    "delete_old_deliveries": lambda s: deliveries.delete_old_deliveries(s.conn, s.account_id, NOW, 9),
    "get_user": lambda s: users.get_user(s.conn, s.account_id, s.anna.id),
    "add_user_if_new": lambda s: users.add_user_if_new(
        s.conn, s.account_id, NOW, external_id="u9", name="Other", email=None, time_zone="UTC", locale="en"
    ),
    "get_acting_user": lambda s: users.get_acting_user(s.conn, s.account_id, s.anna.id),
    "list_named_users": lambda s: users.list_named_users(s.conn, s.account_id, [s.anna.id]),
    "lock_user_ids": lambda s: users.lock_user_ids(s.conn, s.account_id, ["anna"]),
    "lock_user": lambda s: users.lock_user(s.conn, s.account_id, s.anna.id),
    "list_known_users": lambda s: users.list_known_users(s.conn, s.account_id, [s.anna.id]),
    "page_users": lambda s: users.page_users(s.conn, s.account_id, users.WantedUsers(), 9, uuid4()),
    "page_calendar_users": lambda s: users.page_calendar_users(s.conn, s.account_id, [s.own], 9, uuid4()),
    "find_users": lambda s: users.find_users(s.conn, s.account_id, ["u1"]),
    "lock_users": lambda s: users.lock_users(s.conn, s.account_id, ["u1"]),
    "lock_many_users": lambda s: users.lock_many_users(s.conn, s.account_id, [s.anna.id]),
    "compare_emails": lambda s: users.compare_emails(s.conn, s.account_id, ["anna@example.com"], [s.ben.id]),
    "clear_emails": lambda s: users.clear_emails(s.conn, s.account_id, [s.anna.id]),
    "save_users": lambda s: users.save_users(s.conn, s.account_id, [s.anna], NOW),
    "list_users": lambda s: users.list_users(s.conn, s.account_id),
    "list_viewers": lambda s: users.list_viewers(s.conn, s.account_id, s.own),
    "add_user": lambda s: users.add_user(s.conn, s.account_id, NOW, name="Other"),
}


async def statements(seed: Seed, name: str) -> list[exp.Expr]:
    """The statements that a function sends."""
    sent: list[str] = []

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        if "typeinfo_tree" not in query.query:  # asyncpg's own question for the names of types
            sent.append(query.query)

    assert isinstance(seed.conn, asyncpg.Connection)
    with seed.conn.query_logger(note):
        await CALLS[name](seed)
        await asyncio.sleep(0)  # the log is written when the loop comes to it
    return [parsed for text in sent if (parsed := sqlglot.parse_one(text, dialect="postgres"))]


def is_account(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Parameter) and node.name == "1"


def pinned_aliases(statement: exp.Expr) -> set[str]:
    """The aliases with a condition `alias.account_id = $1`."""
    return {
        equation.left.table
        for equation in statement.find_all(exp.EQ)
        if isinstance(equation.left, exp.Column) and equation.left.name == "account_id" and is_account(equation.right)
    }


def test_every_function_is_called_here() -> None:
    public = {
        name
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert set(CALLS) == public


@pytest.mark.parametrize("name", sorted(set(CALLS) - OPERATORS_OWN))
async def test_every_table_of_a_statement_is_pinned_to_the_account(seed: Seed, name: str) -> None:
    sent = await statements(seed, name)
    assert sent
    for statement in sent:
        written = statement.find(exp.Table) if isinstance(statement, exp.Insert) else None
        read = [table for table in statement.find_all(exp.Table) if table is not written and table.name in TABLES]
        assert {table.alias_or_name for table in read} - pinned_aliases(statement) == set()


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_every_insert_names_the_account_first(seed: Seed, name: str) -> None:
    for statement in await statements(seed, name):
        if isinstance(statement, exp.Insert):
            rows = statement.expression
            first = rows.expressions[0].expressions[0] if isinstance(rows, exp.Values) else rows.expressions[0]
            assert statement.this.expressions[0].name == "account_id"
            assert is_account(first)


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_no_statement_reads_every_column_merges_or_asks_the_clock(seed: Seed, name: str) -> None:
    for statement in await statements(seed, name):
        assert not statement.find(exp.Star)
        assert not isinstance(statement, exp.Merge)
        assert not statement.find(exp.CurrentTimestamp)
