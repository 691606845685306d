"""The official audit of GraphQL over HTTP, by the npm package that its authors made for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.seed import Service, running_service

AUDIT = Path(__file__).with_name("audit.mjs")


async def audited(service: Service) -> list[dict[str, Any]]:
    """What each audit found: `ok`, or `notice`, `warn`, `error` for what is not as the words MAY, SHOULD, MUST say."""
    url = str(service.client.make_url("/graphql"))
    node = await asyncio.create_subprocess_exec("node", str(AUDIT), url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        said, _ = await node.communicate()
    results: list[dict[str, Any]] = json.loads(said)
    return results


async def test_every_official_audit_passes(service: Service) -> None:
    results = await audited(service)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) > 60


async def test_audit_passes_where_graphiql_is_served(dsn: str) -> None:
    async with running_service(dsn, graphiql=True) as service:
        assert {result["status"] for result in await audited(service)} == {"ok"}
