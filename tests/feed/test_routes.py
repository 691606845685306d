"""The life of a poll over real HTTP."""

from datetime import UTC, datetime, timedelta

from tests.seed import HOUR, NOW, Seed, Service, meeting, running_service

MANY_DAYS = timedelta(days=31)


async def test_poll_of_link_gives_calendar(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    answer = await service.poll(url)
    assert answer.status == 200
    print((await answer.text()), answer.headers)
    head = await service.poll(url, "HEAD")
    print(head.headers)
    assert (await service.poll(url, If_None_Match=answer.headers["ETag"])).status == 304
