"""The feed that most teams would write: at every poll an iCalendar is made of the rows: `serve.py PORT DSN`."""

import sys

import asyncpg
import uvloop
from aiohttp import web
from icalendar import Calendar, Event

ROWS = """
    SELECT e.uid, e.title, e.description, e.location, e.starts_at, e.ends_at, e.created_at, e.changed_at
    FROM calendars AS c JOIN events AS e ON e.calendar_id = c.id
    WHERE c.token = $1 ORDER BY e.starts_at"""


async def feed(request: web.Request) -> web.Response:
    rows = await request.app["pool"].fetch(ROWS, request.match_info["token"])
    if not rows:
        raise web.HTTPNotFound
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", "-//naive//naive//EN")
    for row in rows:
        calendar.add_component(event(row))
    response = web.Response(body=calendar.to_ical(), content_type="text/calendar", charset="utf-8")
    response.enable_compression()
    return response


def event(row: asyncpg.Record) -> Event:
    made = Event()
    made.add("UID", row["uid"])
    made.add("DTSTAMP", row["changed_at"])
    made.add("CREATED", row["created_at"])
    made.add("LAST-MODIFIED", row["changed_at"])
    made.add("DTSTART", row["starts_at"])
    made.add("DTEND", row["ends_at"])
    made.add("SUMMARY", row["title"])
    made.add("DESCRIPTION", row["description"])
    made.add("LOCATION", row["location"])
    return made


async def connect(app: web.Application) -> None:
    app["pool"] = await asyncpg.create_pool(sys.argv[2])


def main() -> None:
    app = web.Application()
    app.on_startup.append(connect)
    app.router.add_get("/{token}.ics", feed)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), loop=loop, access_log=None, print=None)


if __name__ == "__main__":
    main()
