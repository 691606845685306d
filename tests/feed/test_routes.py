"""The life of a poll, over real HTTP and a real database."""

import asyncio
import gzip
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial

import asyncpg
import pytest
from aiohttp import ClientSession
from ical.calendar_stream import IcsCalendarStream
from yarl import URL

from db.calendars import grant_access
from db.fragments import save_fragments, select_activities
from db.gate import GATE, STAMPS_ACROSS_ACCOUNTS
from db.pool import create_pool
from feed.standing import last_modified
from feed.tokens import FeedToken, Keyring
from tests.feed.subscription import DAY, stay_in_today
from tests.seed import (
    HOUR,
    NOW,
    SECRET_KEY,
    CountingPool,
    Seed,
    Service,
    feeds_alone,
    meeting,
    plant,
    running_service,
    task,
)

SENT_WITH_EVERYTHING = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
}


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


def titles(body: str) -> list[str]:
    return [event.summary or "" for event in IcsCalendarStream.calendar_from_ics(body).events]


def token_of(url: str) -> str:
    return url.split("/")[2]


def is_notice(body: str) -> bool:
    return titles(body) == ["This calendar link no longer works: subscribe again"]


async def test_poll_gives_the_calendar(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    answer = await service.poll(await service.generate(seed.anna, seed.own), Accept_Encoding="identity")
    assert answer.status == 200
    assert titles(await answer.text()) == ["Viewing"]
    expected = {
        "Content-Type": "text/calendar; charset=utf-8",
        "Content-Disposition": 'inline; filename="Anna-Muller.ics"',
        "Content-Length": str(len(await answer.read())),
        "Cache-Control": "private, no-cache",
        **SENT_WITH_EVERYTHING,
    }
    assert {name: answer.headers[name] for name in expected} == expected
    assert re.fullmatch(r'"[0-9a-f]{32}"', answer.headers["ETag"])
    assert "Set-Cookie" not in answer.headers


async def test_two_polls_without_a_change_are_the_same_bytes(seed: Seed, dsn: str, service: Service) -> None:
    await seed.write(*(meeting(f"m{n}", title=f"Viewing {n}") for n in range(250)), calendars=(seed.own, seed.team))
    url = await service.generate(seed.anna)
    first, second = await service.poll(url), await service.poll(url)
    async with running_service(dsn) as other:
        third = await other.poll(url)
        assert await first.read() == await second.read() == await third.read()
    assert first.headers["ETag"] == second.headers["ETag"] == third.headers["ETag"]


async def test_head_has_the_headers_of_get_and_no_body(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    get, head = await service.poll(url), await service.poll(url, "HEAD")
    assert (head.status, await head.read()) == (200, b"")
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


@pytest.mark.parametrize("name", ["Anna-Muller.ics", "Another-name.ics", "%E4%BD%90.ics"])
async def test_any_name_serves_without_redirect(seed: Seed, service: Service, name: str) -> None:
    token = token_of(await service.generate(seed.anna, seed.own))
    answer = await service.poll(f"/feeds/{token}/{name}")
    assert (answer.status, answer.history) == (200, ())
    assert (await service.poll(f"/feeds/{token}.ics")).status == 200


async def test_what_clients_send_beside_the_url_is_ignored(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    answer = await service.poll(
        url, Accept="application/xml", Authorization="Basic eDp5", Cookie="a=b", Range="bytes=0-3"
    )
    assert answer.status == 200
    assert (await answer.text()).startswith("BEGIN:VCALENDAR\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "REPORT"])
async def test_other_methods_are_answered_with_what_is_allowed(seed: Seed, service: Service, method: str) -> None:
    for url in (await service.generate(seed.anna, seed.own), "/feeds/garbage.ics"):
        answer = await service.poll(url, method)
        assert answer.status == 405
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "OPTIONS"}


async def test_options_names_what_is_allowed(seed: Seed, service: Service) -> None:
    answer = await service.poll(await service.generate(seed.anna, seed.own), "OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET,HEAD,OPTIONS")


# ---- conditional requests


async def test_matching_etag_is_304_with_both_validators(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    full = await service.poll(url)
    tag = full.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await service.poll(url, If_None_Match=known)
        assert (answer.status, await answer.read()) == (304, b"")
        for name in ("ETag", "Last-Modified", "Cache-Control"):
            assert answer.headers[name] == full.headers[name]
    assert (await service.poll(url, "HEAD", If_None_Match=tag)).status == 304


async def age(seed: Seed, changed: datetime) -> None:
    """Let everything in the feeds have been changed then; no trigger sets the times to now."""
    await seed.conn.execute("SET session_replication_role = replica")
    for table in ("feed_links", "users", "calendar_versions"):
        await seed.conn.execute(f"UPDATE {table} SET changed_at = $1", changed)
    await seed.conn.execute("RESET session_replication_role")


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


OUTLOOK = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)"


async def raw(url: URL, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    """An answer as it came, not decompressed."""
    async with ClientSession(auto_decompress=False) as session:
        async with session.get(
            url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        ) as answer:
            return answer.status, answer.headers, await answer.read()


async def test_gzip_is_sent_when_asked_for_with_an_etag_of_its_own(seed: Seed, service: Service) -> None:
    await seed.write(*(meeting(f"m{n}") for n in range(50)))
    url = service.client.make_url(await service.generate(seed.anna, seed.own))
    _, plain, octets = await raw(url, Accept_Encoding="identity")
    _, zipped, zipped_octets = await raw(url, Accept_Encoding="br, gzip;q=0.8")
    assert "Content-Encoding" not in plain
    assert (zipped["Content-Encoding"], int(zipped["Content-Length"])) == ("gzip", len(zipped_octets))
    assert gzip.decompress(zipped_octets) == octets
    assert len(zipped_octets) * 5 < len(octets)
    assert zipped["ETag"] == plain["ETag"][:-1] + '-gzip"'
    assert [headers["Vary"] for headers in (plain, zipped)] == ["Accept-Encoding"] * 2
    assert zipped["Last-Modified"] == plain["Last-Modified"]


@pytest.mark.parametrize(
    ("accepted", "user_agent"),
    [("", "curl/8.0"), ("deflate, br", "curl/8.0"), ("gzip;q=0", "curl/8.0"), ("gzip; q=0.000", "curl/8.0"),
     ("gzip", OUTLOOK), ("gzip", "Microsoft.Exchange/15.20"), ("gzip", "MSFT-WIN-3/10.0")],
)  # fmt: skip
async def test_gzip_is_not_sent_unasked_nor_to_who_may_fail_on_it(
    seed: Seed, service: Service, accepted: str, user_agent: str
) -> None:
    url = service.client.make_url(await service.generate(seed.anna, seed.own))
    _, headers, octets = await raw(url, Accept_Encoding=accepted, User_Agent=user_agent)
    assert "Content-Encoding" not in headers
    assert octets.startswith(b"BEGIN:VCALENDAR")


async def test_what_a_client_has_in_either_encoding_is_not_sent_again(seed: Seed, service: Service) -> None:
    url = service.client.make_url(await service.generate(seed.anna, seed.own))
    tags = {accepted: (await raw(url, Accept_Encoding=accepted))[1]["ETag"] for accepted in ("identity", "gzip")}
    for accepted, asked in tags.items():
        for tag in (*tags.values(), f"W/{tags['gzip']}", f'"other", {tags["identity"]}'):
            status, headers, _ = await raw(url, Accept_Encoding=accepted, If_None_Match=tag)
            assert (status, headers["ETag"]) == (304, asked)


async def test_etag_goes_before_date(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    now = datetime.now(UTC)
    await age(seed, now - timedelta(hours=1))
    tag, recent, old = (await service.poll(url)).headers["ETag"], http_date(now), http_date(now - timedelta(days=1))
    assert (await service.poll(url, If_Modified_Since=recent)).status == 304
    assert (await service.poll(url, If_None_Match='"old"', If_Modified_Since=recent)).status == 200
    assert (await service.poll(url, If_None_Match=tag, If_Modified_Since=old)).status == 304


async def test_date_alone_is_compared_with_the_last_change(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    changed = datetime.now(UTC).replace(microsecond=500_000) - timedelta(minutes=2)
    await age(seed, changed)
    modified = parsedate_to_datetime((await service.poll(url)).headers["Last-Modified"])

    async def status(since: datetime | str) -> int:
        return (await service.poll(url, If_Modified_Since=since if isinstance(since, str) else http_date(since))).status

    assert modified == changed + timedelta(milliseconds=500)
    assert await status(modified) == 304
    assert await status(modified + timedelta(seconds=9)) == 304
    assert await status(modified - timedelta(seconds=1)) == 200
    assert await status(datetime(1970, 1, 1, tzinfo=UTC)) == 200
    assert await status("garbage") == 200
    assert await status("Fri, 20 Nov 99999999999999999999 00:00:00 GMT") == 200
    assert await status(datetime.now(UTC) + timedelta(days=1)) == 200


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 999_999])
def test_last_modified_matches_a_change_only_once_that_is_settled(microsecond: int) -> None:
    changed = datetime(2026, 3, 2, 9, 0, 1, microsecond, tzinfo=UTC)
    assert last_modified(changed, changed) < changed
    assert last_modified(changed, changed + timedelta(seconds=59)) < changed
    settled = last_modified(changed, changed + timedelta(seconds=62))
    assert changed <= settled < changed + timedelta(seconds=1)
    assert settled.microsecond == 0


def test_last_modified_is_never_later_than_now() -> None:
    """The database's clock may be ahead of ours (RFC 9110, section 8.8.2.1)."""
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert last_modified(now + timedelta(seconds=30), now) == now


async def test_write_that_is_committed_after_a_later_one_is_seen_by_date_alone(
    seed: Seed, dsn: str, service: Service
) -> None:
    url = await service.generate(seed.anna)
    slow = await asyncpg.connect(dsn)
    writing = slow.transaction()
    await writing.start()
    await slow.execute("UPDATE calendars SET name = 'First written' WHERE id = $1", seed.own)
    await asyncio.sleep(1.1)
    await seed.conn.execute("UPDATE calendars SET name = 'First committed' WHERE id = $1", seed.team)
    between = await service.poll(url)
    await writing.commit()
    after = await service.poll(url, If_Modified_Since=between.headers["Last-Modified"])
    assert after.status == 200
    assert parsedate_to_datetime(after.headers["Last-Modified"]) >= parsedate_to_datetime(
        between.headers["Last-Modified"]
    )
    await slow.close()


async def test_two_changes_in_one_second_are_both_seen_by_date_alone(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    for n in range(5):
        await seed.write(meeting(f"m{n}"))
        first = await service.poll(url)
        await seed.write(meeting(f"n{n}"))
        again = await service.poll(url, If_Modified_Since=first.headers["Last-Modified"])
        assert again.status == 200
        assert len(titles(await again.text())) == 2 * (n + 1)


async def test_304_reads_no_activity(seed: Seed, service: Service) -> None:
    """Nor needs it any: the query that is left asks the gate alone."""
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    tag = (await service.poll(url)).headers["ETag"]
    async with seed.conn.transaction():
        await seed.conn.execute("LOCK TABLE activities, calendar_entries, fragments IN ACCESS EXCLUSIVE MODE")
        assert (await service.poll(url, If_None_Match=tag)).status == 304


async def test_304_sends_one_statement_and_garbage_none(seed: Seed, dsn: str, service: Service) -> None:
    await seed.write(*(meeting(f"m{n}") for n in range(50)))
    url = await service.generate(seed.anna)
    tag = (await service.poll(url)).headers["ETag"]
    async with create_pool(dsn) as pool:
        counting = CountingPool(pool)
        async with feeds_alone(counting, partial(counting.hold, dsn)) as alone:
            assert (await alone.poll("/feeds/cf1_garbage.ics")).status == 404
            assert counting.sent == []
            assert (await alone.poll(url, If_None_Match=tag)).status == 304  # the first asks the gate itself
            assert counting.sent[-1] == GATE
            assert (await alone.poll(url, If_None_Match=tag)).status == 304
            counting.sent.clear()  # a new connection asks for the names of types, once
            assert (await alone.poll(url, If_None_Match=tag)).status == 304
    assert counting.sent == [STAMPS_ACROSS_ACCOUNTS]


CHANGES = {
    "activity written": "UPDATE activities SET title = 'Other'",
    "activity deleted": "DELETE FROM activities",
    "entry removed": "DELETE FROM calendar_entries",
    "calendar renamed": "UPDATE calendars SET name = 'Other'",
    "calendar recoloured": "UPDATE calendars SET color = '#000000'",
    "other zone": "UPDATE users SET time_zone = 'Asia/Tokyo'",
    "other options": """UPDATE feed_links SET options = '{"any": 1}'""",
    "calendar deleted": "UPDATE calendars SET deleted_at = '2020-01-01Z' WHERE name = 'Sales team'",
    "calendar gone": "DELETE FROM calendars WHERE name = 'Sales team'",
    "access withdrawn": "UPDATE calendar_access SET withdrawn_at = '2020-01-01Z' WHERE calendar_id = $1",
    "access gone": "DELETE FROM calendar_access WHERE calendar_id = $1",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_whatever_changes_moves_etag_and_date_forwards(seed: Seed, service: Service, change: str) -> None:
    await seed.write(meeting(), calendars=(seed.team,))
    url = await service.generate(seed.anna)
    before = await service.poll(url)
    sql = CHANGES[change]
    await seed.conn.execute(sql, *([seed.team] if "$1" in sql else []))
    after = await service.poll(url, If_None_Match=before.headers["ETag"])
    assert after.status == 200
    assert after.headers["ETag"] != before.headers["ETag"]
    by_date = await service.poll(url, If_Modified_Since=before.headers["Last-Modified"])
    assert by_date.status == 200
    earlier, later = (parsedate_to_datetime(answer.headers["Last-Modified"]) for answer in (before, by_date))
    assert later >= earlier


async def test_change_in_a_calendar_that_is_not_in_the_feed_changes_nothing(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.ben)
    tag = (await service.poll(url)).headers["ETag"]
    await seed.write(meeting())
    assert (await service.poll(url, If_None_Match=tag)).status == 304


# ---- who may see what


async def test_feed_of_all_calendars_shows_an_activity_once(seed: Seed, service: Service) -> None:
    await seed.write(meeting("both"), calendars=(seed.own, seed.team))
    await seed.write(meeting("own", title="Mine"))
    body = await (await service.poll(await service.generate(seed.anna))).text()
    assert sorted(titles(body)) == ["Mine", "Viewing"]
    assert "X-WR-CALNAME:All my calendars\r\n" in body
    head = await service.poll(await service.generate(seed.anna), "HEAD")
    assert head.headers["Content-Disposition"] == 'inline; filename="All-my-calendars.ics"'


async def test_feed_of_all_calendars_follows_access_at_the_next_poll(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.ben)
    await seed.write(meeting("own", title="Anna's"))
    assert titles(await (await service.poll(url)).text()) == ["Nothing planned"]
    await grant_access(seed.conn, seed.account_id, seed.own, [seed.ben.id], NOW)
    assert titles(await (await service.poll(url)).text()) == ["Anna's"]
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = $1 WHERE user_id = $2", NOW, seed.ben.id)
    assert titles(await (await service.poll(url)).text()) == ["Nothing planned"]


async def test_private_activity_is_busy_for_everyone_but_its_owner(seed: Seed, service: Service) -> None:
    secret = meeting(title="Dentist", location="Dr. Weiß", private=True, owner_id=seed.anna.id)
    await seed.write(secret, meeting("orphan", title="Nobody's", private=True), calendars=(seed.team,))
    anna, ben = await service.generate(seed.anna, seed.team), await service.generate(seed.ben, seed.team)
    for _ in range(2):  # rendered, then from the stored fragments
        assert sorted(titles(await (await service.poll(anna)).text())) == ["Busy", "Dentist"]
        body = await (await service.poll(ben)).text()
        assert titles(body) == ["Busy", "Busy"]
        assert "Dentist" not in body
        assert "Weiß" not in body


async def test_notes_and_what_has_no_time_are_left_out(seed: Seed, service: Service) -> None:
    await seed.write(
        meeting(title="Shown"),
        meeting("c", title="Cancelled", status="CANCELLED"),
        task("t1", title="No deadline"),
        task("t2", title="Deadline", due_on=NOW.date() + DAY),
    )
    await seed.conn.execute("UPDATE activities SET type = 'NOTE', title = 'Note' WHERE external_id = 'm1'")
    body = await (await service.poll(await service.generate(seed.anna, seed.own))).text()
    assert titles(body) == ["☐ Deadline"]


async def test_tokens_of_two_accounts_open_their_own_feeds(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await seed.write(meeting(title="Ours"))
    await other.write(meeting(title="Theirs"))
    assert titles(await (await service.poll(await service.generate(seed.anna))).text()) == ["Ours"]
    assert titles(await (await service.poll(await service.generate(other.anna))).text()) == ["Theirs"]


# ---- dead links


async def test_regenerated_link_kills_the_old_url_and_serves_the_new(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    old = await service.generate(seed.anna, seed.own)
    new = await service.generate(seed.anna, seed.own, regenerate=True)
    assert titles(await (await service.poll(new)).text()) == ["Viewing"]
    dead = await service.poll(old)
    assert dead.status == 200
    assert is_notice(await dead.text())


ENDS = {
    "revoked": "UPDATE feed_links SET revoked_at = $1",
    "expired": "UPDATE feed_links SET expires_at = $1",
    "reset": "UPDATE feed_links SET generation = 2, resets = ARRAY[$1::timestamptz]",
    "user deactivated": "UPDATE users SET deactivated_at = $1",
    "account suspended": "UPDATE accounts SET suspended_at = $1",
    "access withdrawn": "UPDATE calendar_access SET withdrawn_at = $1",
    "calendar deleted": "UPDATE calendars SET deleted_at = $1",
}


@pytest.mark.parametrize("end", ENDS)
async def test_ended_link_serves_the_notice_for_30_days_and_then_410(seed: Seed, service: Service, end: str) -> None:
    await seed.write(meeting(title="Secret meeting"))
    url = await service.generate(seed.anna, seed.own)
    alive = await service.poll(url)
    now = datetime.now(UTC)
    await seed.conn.execute(ENDS[end], now - timedelta(days=29, hours=23))
    dead = await service.poll(
        url, If_None_Match=alive.headers["ETag"], If_Modified_Since=alive.headers["Last-Modified"]
    )
    body = await dead.text()
    assert dead.status == 200
    assert is_notice(body)
    assert "Secret" not in body
    assert "Anna" not in body + str(dead.headers)
    assert (await service.poll(url, If_None_Match=dead.headers["ETag"])).status == 304
    await seed.conn.execute(ENDS[end], now - timedelta(days=30, minutes=1))
    gone = await service.poll(url)
    assert (gone.status, gone.headers["Cache-Control"]) == (410, "no-store")
    assert gone.content_type == "text/plain"
    assert (await service.poll(url, "HEAD")).status == 410


async def test_link_expires_at_its_moment_and_not_before(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    await seed.conn.execute("UPDATE feed_links SET expires_at = $1", datetime.now(UTC) + HOUR)
    assert titles(await (await service.poll(url)).text()) == ["Viewing"]


async def test_link_ends_at_its_moment_though_nothing_is_written_then(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna)
    expires_at = datetime.now(UTC) + timedelta(seconds=1)
    await seed.conn.execute("UPDATE feed_links SET expires_at = $1", expires_at)
    assert not is_notice(await (await service.poll(url)).text())
    assert not is_notice(await (await service.poll(url)).text())
    while datetime.now(UTC) <= expires_at:
        await asyncio.sleep(0.05)
    assert is_notice(await (await service.poll(url)).text())


async def test_access_deleted_by_sql_ends_the_link(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    await seed.conn.execute("DELETE FROM calendar_access")
    assert is_notice(await (await service.poll(url)).text())


async def test_each_generation_has_its_own_30_days(seed: Seed, service: Service) -> None:
    urls = [await service.generate(seed.anna, seed.own)]
    urls += [await service.generate(seed.anna, seed.own, regenerate=True) for _ in range(2)]
    now = datetime.now(UTC)
    resets = [now - timedelta(days=40), now - timedelta(days=10)]
    await seed.conn.execute("UPDATE feed_links SET resets = $1", resets)
    assert (await service.poll(urls[0])).status == 410
    assert is_notice(await (await service.poll(urls[1])).text())
    assert titles(await (await service.poll(urls[2])).text()) == ["Nothing planned"]


async def test_notice_can_be_switched_off(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, notice_days=0) as service:
        old = await service.generate(seed.anna, seed.own)
        await service.generate(seed.anna, seed.own, regenerate=True)
        assert (await service.poll(old)).status == 410


async def test_body_that_is_read_after_a_change_has_the_validators_of_that_change(seed: Seed, dsn: str) -> None:
    """The gate is asked, then another writer commits, then the rows are read: bytes and ETag must be of one state."""
    await seed.write(meeting())
    change = "UPDATE activities SET title = 'Changed'"
    async with running_service(dsn) as service, running_service(dsn, before_second_read=change) as interrupted:
        url = await service.generate(seed.anna, seed.own)
        first = await interrupted.poll(url)
        second = await service.poll(url)
        assert titles(await first.text()) == ["Changed"]
        assert await first.read() == await second.read()
        assert first.headers["ETag"] == second.headers["ETag"]


async def test_link_that_is_reset_between_the_two_questions_of_a_poll_serves_the_notice(seed: Seed, dsn: str) -> None:
    await seed.write(meeting())
    change = "UPDATE feed_links SET generation = generation + 1, resets = resets || now()"
    async with running_service(dsn) as service, running_service(dsn, before_second_read=change) as interrupted:
        url = await service.generate(seed.anna, seed.own)
        assert is_notice(await (await interrupted.poll(url)).text())


async def test_end_that_another_machine_wrote_with_a_clock_ahead_of_ours_ends_at_once(
    seed: Seed, service: Service
) -> None:
    url = await service.generate(seed.anna, seed.own)
    await seed.conn.execute("UPDATE users SET deactivated_at = $1", datetime.now(UTC) + HOUR)
    assert is_notice(await (await service.poll(url)).text())


async def test_version_number_that_is_used_again_for_other_content_has_another_etag(
    seed: Seed, service: Service
) -> None:
    """As after a restore of the database: the number falls back and comes again."""
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    before = (await service.poll(url)).headers["ETag"]
    await seed.conn.execute("UPDATE calendar_versions SET version = version - 1")
    await seed.conn.execute("UPDATE activities SET title = 'Other'")
    assert (await service.poll(url, If_None_Match=before)).status == 200


async def test_reset_during_polling_serves_no_old_body_once_it_is_acknowledged(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    tag = (await service.poll(url)).headers["ETag"]
    for _ in range(20):
        new = await service.generate(seed.anna, seed.own, regenerate=True)
        for known in ("", tag):
            assert is_notice(await (await service.poll(url, If_None_Match=known or '"none"')).text())
        url = new
        tag = (await service.poll(url)).headers["ETag"]


# ---- unknown tokens


async def test_unknown_tokens_are_all_the_same_404(seed: Seed, service: Service) -> None:
    keyring = Keyring.parse(SECRET_KEY)
    good = keyring.verify(token_of(await service.generate(seed.anna, seed.own)))
    assert good is not None
    unknown = FeedToken(good.key_id, good.account_id, good.account_id, 1)
    foreign = FeedToken(good.key_id, good.link_id, good.link_id, 1)
    later = FeedToken(good.key_id, good.account_id, good.link_id, 2)
    earlier = FeedToken(good.key_id, good.account_id, good.link_id, 0)
    made_up = ["garbage", "cf1_", "cf1_AAAA", *map(keyring.sign, (unknown, foreign, later, earlier))]
    answers = [await service.poll(f"/feeds/{token}/x.ics") for token in made_up]
    assert {(a.status, await a.text(), a.content_type, a.headers["Cache-Control"]) for a in answers} == {
        (404, "There is no such calendar feed.\n", "text/plain", "no-store")
    }
    for answer in answers:
        assert {name: answer.headers[name] for name in SENT_WITH_EVERYTHING} == SENT_WITH_EVERYTHING


async def test_old_key_of_the_ring_signs_no_link_that_moved_to_a_newer_one(seed: Seed, dsn: str) -> None:
    ring = f"k2:{'n' * 32},{SECRET_KEY}"
    async with running_service(dsn, secret_keys=ring) as service:
        good = Keyring.parse(ring).verify(token_of(await service.generate(seed.anna, seed.own)))
        assert good is not None
        assert good.key_id == "k2"
        forged = Keyring.parse(SECRET_KEY).sign(FeedToken("k1", good.account_id, good.link_id, good.generation))
        assert (await service.poll(f"/feeds/{forged}.ics")).status == 404


async def test_rotating_keys_moves_no_url_and_dropping_one_kills_the_links_on_it(seed: Seed, dsn: str) -> None:
    await seed.write(meeting())
    async with running_service(dsn) as service:
        url = await service.generate(seed.anna, seed.own)
    async with running_service(dsn, secret_keys=f"k2:{'n' * 32},{SECRET_KEY}") as service:
        assert await service.generate(seed.anna, seed.own) == url
        assert titles(await (await service.poll(url)).text()) == ["Viewing"]
        on_new = await service.generate(seed.ben, seed.team)
    async with running_service(dsn, secret_keys=f"k2:{'n' * 32}") as service:
        assert (await service.poll(url)).status == 404
        assert (await service.poll(on_new)).status == 200
        again = await service.generate(seed.anna, seed.own)
        assert again != url
        assert titles(await (await service.poll(again)).text()) == ["Viewing"]


# ---- fragments


async def test_changed_activity_is_rendered_alone(seed: Seed, service: Service) -> None:
    await seed.write(*(meeting(f"m{n}") for n in range(120)))
    url = await service.generate(seed.anna, seed.own)
    assert len(titles(await (await service.poll(url)).text())) == 120
    sql = "SELECT activity_id, revision, xmin::text FROM fragments"
    before = set(await seed.conn.fetch(sql))
    await seed.conn.execute("UPDATE activities SET title = 'Changed' WHERE external_id = 'm7'")
    assert "Changed" in titles(await (await service.poll(url)).text())
    after = set(await seed.conn.fetch(sql))
    assert (len(before), len(after - before), len(before - after)) == (120, 1, 1)


async def test_fragment_of_an_older_revision_never_replaces_a_newer_one(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    await service.poll(url)
    (old,) = await select_activities(seed.conn, seed.selection(seed.own), left_out=True)
    assert old.ics
    await seed.conn.execute("UPDATE activities SET title = 'Newer'")
    await service.poll(url)
    await save_fragments(seed.conn, seed.account_id, [old], NOW.date())
    assert await seed.conn.fetchval("SELECT revision FROM fragments") == 1
    assert titles(await (await service.poll(url)).text()) == ["Newer"]


async def write_bad(seed: Seed, count: int) -> None:
    await seed.write(*(meeting(f"bad {n}", title="Secret", recurrence={"rules": 7}) for n in range(count)))


async def test_memory_of_a_failure_never_replaces_a_rendered_fragment_of_its_revision(
    seed: Seed, service: Service
) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    await service.poll(url)
    (known,) = await select_activities(seed.conn, seed.selection(seed.own), left_out=True)
    for day in (NOW.date(), NOW.date() + 9 * DAY):
        await save_fragments(seed.conn, seed.account_id, [known._replace(ics=None, day=day)], NOW.date())
    assert [tuple(row) for row in await seed.conn.fetch("SELECT day, ics FROM fragments")] == [(None, known.ics)]


async def test_feed_of_which_many_cannot_be_rendered_and_nothing_else_is_there_is_a_failure(
    seed: Seed, service: Service
) -> None:
    await write_bad(seed, 10)
    url = await service.generate(seed.anna, seed.own)
    for _ in range(2):  # tried, then remembered
        answer = await service.poll(url)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    await seed.write(meeting())
    answer = await service.poll(url)
    assert (answer.status, titles(await answer.text())) == (200, ["Viewing"])


@pytest.mark.parametrize("count", [1, 9])
async def test_feed_of_which_only_a_few_cannot_be_rendered_and_nothing_else_is_there_is_empty(
    seed: Seed, service: Service, count: int
) -> None:
    await write_bad(seed, count)
    url = await service.generate(seed.anna, seed.own)
    for _ in range(2):
        answer = await service.poll(url)
        assert (answer.status, titles(await answer.text())) == (200, ["Nothing planned"])


async def test_stored_fragments_are_what_is_served(seed: Seed, dsn: str, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    rendered = await (await service.poll(url)).read()
    stored = await seed.conn.fetchval("SELECT ics FROM fragments")
    assert all(line in rendered for line in stored.splitlines())
    await seed.conn.execute("UPDATE fragments SET ics = $1", stored.replace(b"Viewing", b"From the store"))
    async with running_service(dsn) as other:  # without the body in its memory
        assert titles(await (await other.poll(url)).text()) == ["From the store"]


async def test_activity_that_cannot_be_rendered_is_left_out_and_breaks_nothing(
    seed: Seed, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed.write(meeting("good"), meeting("bad", title="Secret title"))
    await seed.conn.execute("UPDATE activities SET recurrence = '{\"rules\": 7}' WHERE external_id = 'bad'")
    url = await service.generate(seed.anna, seed.own)
    assert titles(await (await service.poll(url)).text()) == ["Viewing"]
    said = capsys.readouterr()
    assert "activity left out" in said.out + said.err
    assert "Secret title" not in said.out + said.err


async def test_poll_that_fails_for_a_reason_of_ours_is_503_and_tells_nothing(seed: Seed, service: Service) -> None:
    await seed.write(meeting(title="Secret meeting"))
    url = await service.generate(seed.anna, seed.own)
    await seed.conn.execute("ALTER TABLE fragments RENAME TO elsewhere")
    try:
        answer = await service.poll(url)
    finally:
        await seed.conn.execute("ALTER TABLE elsewhere RENAME TO fragments")
    assert (answer.status, answer.headers["Retry-After"], answer.content_type) == (503, "60", "text/plain")
    assert await answer.text() == "The calendar feed is not available at the moment.\n"
    assert titles(await (await service.poll(url)).text()) == ["Secret meeting"]
