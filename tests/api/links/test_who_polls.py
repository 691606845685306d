"""Who polls a link, seen from outside: clients in the API, alarms, limits, and what a stolen dump of it all opens."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.api_keys import hash_api_key, make_api_key
from db.ids import new_id
from db.keys import add_api_key
from feed.tokens import FeedToken, Keyring
from tests.feed.subscription import subscribe, token_of
from tests.seed import JWT_SECRET, NOW, SECRET_KEY, Seed, Service, meeting, running_service

GOOGLE, THUNDERBIRD = "Google-Calendar-Importer", "Mozilla/5.0 (X11; Linux) Gecko/20100101 Thunderbird/128.0"
APPLE, ICSX5, VDIRSYNCER = "iOS/17.5.1 (21F90) dataaccessd/1.0", "ICSx5/2.2", "vdirsyncer/0.19"
CLIENTS = """
    { calendarFeeds { links {
        lastPolledAt status alarmedAt pausedBy
        clients { name firstPolledAt lastPolledAt polls lastStatus lastAnswer usualInterval stale } } } }"""


async def shown(seed: Seed, service: Service) -> dict[str, Any]:
    """Anna's one link."""
    feeds = (await service.graphql(CLIENTS, seed.anna))["data"]["calendarFeeds"]
    (link,) = [link for feed in feeds for link in feed["links"]]
    return dict(link)


async def test_link_tells_who_polls_it_and_what_they_were_answered(seed: Seed, dsn: str) -> None:
    await seed.write(meeting())
    async with running_service(dsn) as service:
        link = await subscribe(service, seed.anna)
        assert await shown(seed, service) == {
            "lastPolledAt": None,
            "status": "ACTIVE",
            "alarmedAt": None,
            "pausedBy": None,
            "clients": [],
        }
        tag = (await link.poll(User_Agent=THUNDERBIRD)).headers["ETag"]
        await link.poll(User_Agent=THUNDERBIRD, If_None_Match=tag)
        await link.poll(User_Agent="A name that nobody knows <script>")
        await service.generate(seed.anna, regenerate=True)
        await link.poll(User_Agent=GOOGLE)
    async with running_service(dsn) as service:  # what was noted is written when the service stops
        told = await shown(seed, service)
    clients = {client.pop("name"): client for client in told["clients"]}
    seen = {name: (c["polls"], c["lastStatus"], c["lastAnswer"]) for name, c in clients.items()}
    assert seen == {
        "Google Calendar": (1, 200, "NOTICE"),
        "Other": (1, 200, "CALENDAR"),
        "Thunderbird": (2, 304, "UNCHANGED"),
    }
    assert told["lastPolledAt"] == clients["Google Calendar"]["lastPolledAt"]
    assert {(client["usualInterval"], client["stale"]) for client in clients.values()} == {(None, False)}
    assert "script" not in json.dumps(told)


async def test_client_that_stays_away_is_stale(seed: Seed, dsn: str) -> None:
    async with running_service(dsn) as service:
        link = await subscribe(service, seed.anna)
        await link.poll(User_Agent=GOOGLE)
    async with running_service(dsn) as service:
        await seed.conn.execute("UPDATE feed_polls SET last_polled_at = $1", datetime.now(UTC) - timedelta(days=4))
        ((client,),) = [(await shown(seed, service))["clients"]]
    assert client["stale"]


async def poll_as(service: Service, url: str, *agents: str) -> None:
    for agent in agents:
        assert (await service.poll(url, User_Agent=agent)).status == 200


@pytest.mark.parametrize("pauses", [False, True])
async def test_link_that_many_kinds_of_programs_poll_raises_an_alarm(seed: Seed, dsn: str, pauses: bool) -> None:
    await seed.conn.execute("UPDATE accounts SET pauses_alarmed = $1", pauses)
    async with running_service(dsn, alarm_clients=3) as service:
        link = await subscribe(service, seed.anna)
        await poll_as(service, link.url, GOOGLE, THUNDERBIRD)
    async with running_service(dsn, alarm_clients=3) as service:
        assert (await shown(seed, service))["alarmedAt"] is None
        await poll_as(service, link.url, APPLE)
    async with running_service(dsn, alarm_clients=3) as service:
        told = await shown(seed, service)
        assert told["alarmedAt"] is not None
        assert (told["status"], told["pausedBy"]) == (("PAUSED", "ALARM") if pauses else ("ACTIVE", None))
        query = "{ auditLog(where: {actions: [LINK_ALARMED, LINK_PAUSED]}) { edges { node { action details } } } }"
        edges = (await service.graphql(query, seed.anna))["data"]["auditLog"]["edges"]
        assert [edge["node"]["action"] for edge in edges] == ["LINK_PAUSED"] * pauses + ["LINK_ALARMED"]
        assert edges[-1]["node"]["details"] == {"clients": 3, "networks": 1}
        new = await service.generate(seed.anna, regenerate=True)
        told = await shown(seed, service)
        assert (told["status"], told["alarmedAt"], told["pausedBy"]) == ("ACTIVE", None, None)
        await poll_as(service, new, ICSX5, VDIRSYNCER)
    async with running_service(dsn, alarm_clients=3) as service:
        assert (await shown(seed, service))["alarmedAt"] is None


async def test_link_that_many_networks_poll_raises_an_alarm(seed: Seed, dsn: str) -> None:
    settings: dict[str, Any] = {"alarm_networks": 3, "proxies": "127.0.0.1"}
    async with running_service(dsn, **settings) as service:
        link = await subscribe(service, seed.anna)
        for network in ("192.0.2.7", "192.0.2.200", "198.51.100.1", "2001:db8::1", "2001:db8:0:ffff::1"):
            await service.poll(link.url, User_Agent=APPLE, X_Forwarded_For=network)
    networks = await seed.conn.fetch("SELECT network::text FROM feed_networks ORDER BY 1")
    assert [row["network"] for row in networks] == ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"]
    async with running_service(dsn, **settings) as service:
        assert (await shown(seed, service))["alarmedAt"] is not None


# ---- limits


async def test_poll_beyond_the_limit_of_its_link_is_told_when_to_come_again(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, link_polls_per_minute=3) as service:
        link = await subscribe(service, seed.anna)
        other = await subscribe(service, seed.ben)
        assert [(await link.poll()).status for _ in range(4)] == [200, 200, 200, 429]
        refused = await service.poll(link.url, "HEAD")
        assert (refused.status, refused.headers["Cache-Control"]) == (429, "no-store")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert (await (await link.poll()).text(), refused.content_type) == (
            "Too many polls: come again later.\n",
            "text/plain",
        )
        assert (await other.poll()).status == 200
    async with running_service(dsn) as service:
        ((client,),) = [(await shown(seed, service))["clients"]]
        assert (client["lastStatus"], client["lastAnswer"]) == (429, "LIMITED")


async def test_unknown_tokens_are_limited_by_network_and_known_ones_are_not(seed: Seed, dsn: str) -> None:
    settings: dict[str, Any] = {"unknown_polls_per_minute": 2, "link_polls_per_minute": 60, "proxies": "127.0.0.1"}
    async with running_service(dsn, **settings) as service:
        link = await subscribe(service, seed.anna)
        home, away = "192.0.2.1", "198.51.100.1"

        async def status(url: str, network: str) -> int:
            return (await service.poll(url, X_Forwarded_For=network)).status

        assert [await status("/feeds/cf1_garbage/x.ics", home) for _ in range(3)] == [404, 404, 429]
        assert await status("/feeds/cf1_garbage/x.ics", away) == 404
        assert [await status(link.url, home) for _ in range(5)] == [200] * 5
        refused = await service.poll("/feeds/x.ics", X_Forwarded_For=home)
        assert 1 <= int(refused.headers["Retry-After"]) <= 60


# ---- a stolen dump


def secrets_in(text: str) -> list[str]:
    """What in a text would open a feed or the API."""
    patterns = (r"cf1_[A-Za-z0-9_-]{20,}", r"cfk_[A-Za-z0-9_-]{20,}", r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
    found = [match for pattern in patterns for match in re.findall(pattern, text)]
    return found + [secret for secret in (SECRET_KEY.partition(":")[2], JWT_SECRET) if secret in text]


async def test_stolen_dump_opens_no_feed_and_no_api(seed: Seed, dsn: str) -> None:
    await seed.write(meeting(description="What was agreed"))
    key_id = new_id()
    key = make_api_key(seed.account_id, key_id)
    await add_api_key(
        seed.conn, seed.account_id, key_id, NOW, name="CRM", key_hash=hash_api_key(key), scopes=["feeds:read"]
    )
    async with running_service(dsn) as service:
        links = [await subscribe(service, user, name=name) for user in (seed.anna, seed.ben) for name in ("", "iPhone")]
        for link in links:
            await link.poll(User_Agent=f"curl/8 {link.url}", Referer=link.url)
        await service.mutate("resetCalendarFeeds", seed.anna, "resetCount", graceHours=5, requestId="one")
        await service.graphql("{ feedLinks { edges { cursor } } }", key)
    tables = await seed.conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    dump = ""
    for table in tables:
        rows = await seed.conn.fetch(f"SELECT row_to_json(t)::text AS line FROM {table['tablename']} t")
        dump += "\n".join(row["line"] for row in rows)
    assert "What was agreed" in dump
    assert str(seed.account_id) in dump
    assert secrets_in(dump) == []
    secret = base64.urlsafe_b64decode(key.removeprefix("cfk_") + "==")[32:]
    assert secret.hex() not in dump
    for link in links:
        mac = base64.urlsafe_b64decode(link.url.split("/")[2].removeprefix("cf1_") + "==")[-16:]
        assert mac.hex() not in dump
        assert base64.b64encode(mac).decode() not in dump


async def test_what_a_dump_holds_of_a_link_makes_no_token_without_the_key(seed: Seed, service: Service) -> None:
    known = token_of((await subscribe(service, seed.anna)).url)
    guesses = [Keyring({known.key_id: guess}) for guess in (b"", b"\0" * 32, known.link_id.bytes, b"k1")]
    token = FeedToken(known.key_id, known.account_id, known.link_id, known.generation)
    for keyring in guesses:
        assert (await service.poll(f"/feeds/{keyring.sign(token)}/x.ics")).status == 404
