"""A real PostgreSQL, started once a run: the embedded one, or that of CALENDAR_FEEDS_TEST_DATABASE_URL."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import hypothesis
import pytest

from db.embedded import postgres
from db.migrate import migrate
from db.pool import Conn
from tests.leaks import NET, listen
from tests.seed import Seed, Service, plant, running_service

# A machine that is busy makes an example slow, not wrong.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    listen()


@pytest.fixture(autouse=True)
def nothing_secret_is_said() -> Iterator[None]:
    yield
    assert NET.caught() == []


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_said_at_the_end() -> Iterator[None]:
    """By the processes that several tests share."""
    yield
    assert NET.caught() == []


@pytest.fixture(scope="session")
def server_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        given = os.environ.get("CALENDAR_FEEDS_TEST_DATABASE_URL")
        yield given or stack.enter_context(postgres(tmp_path_factory.mktemp("postgres")))


@asynccontextmanager
async def new_database(server_dsn: str) -> AsyncIterator[str]:
    """A database of this run's own, dropped at the end."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture(scope="session")
async def dsn(server_dsn: str) -> AsyncIterator[str]:
    """A migrated database."""
    async with new_database(server_dsn) as dsn:
        await migrate(dsn)
        yield dsn


@pytest.fixture
async def empty_database(server_dsn: str) -> AsyncIterator[str]:
    """A database without a schema."""
    async with new_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[Conn]:
    """A connection to the database, empty of everything but its schema."""
    conn = await asyncpg.connect(dsn)
    await conn.execute("SET session_replication_role = replica")  # the audit log only grows
    await conn.execute("TRUNCATE accounts CASCADE")
    await conn.execute("RESET session_replication_role")
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
async def seed(conn: Conn) -> Seed:
    return await plant(conn)


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Service]:
    async with running_service(dsn) as service:
        yield service
