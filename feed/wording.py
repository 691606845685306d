"""What a feed says of an activity in words: its title, its description, and the people who take part."""

import re
from urllib.parse import quote

from icalendar import vCalAddress
from yarl import URL

from db.activities import ActivityRecord, Participant
from feed.style import Shown, Style
from feed.text import clean, shortened
from feed.words import Words

OPEN, COMPLETED, OVERDUE = "☐ ", "☑ ", "! "
PARTSTATS = {"ACCEPTED": "ACCEPTED", "DECLINED": "DECLINED", "TENTATIVE": "TENTATIVE"}
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
LONGEST_LINE, LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_URL = 1_000, 200, 8_000, 2_000  # characters
MOST_PARTICIPANTS = 100


def category(activity_type: str, say: Words) -> str:
    """What the activity is, in a word."""
    match activity_type:
        case "CALL":
            return say("Call")
        case "TASK":
            return say("Task")
    return say("Meeting")


def title(activity: ActivityRecord, style: Style, shown: Shown) -> str:
    """The title with what only a title can tell: a call, how far a task is, whose or what calendar's it is."""
    named = shortened(activity.title, LONGEST_LINE)
    text = named if named.strip() else category(activity.type, style.say)
    if activity.type == "CALL" and named.strip():
        text = style.say("Call: {title}", title=text)
    if activity.type == "TASK" and style.options.tasks_as == "EVENT":
        text = (COMPLETED if activity.status == "COMPLETED" else OVERDUE if shown.overdue else OPEN) + text
    if activity.status == "CANCELLED":
        text = style.say("Cancelled: {title}", title=text)
    names = {"CALENDAR": ", ".join(shown.calendars), "OWNER": shown.owner or "", "NOTHING": ""}
    name = shortened(names[style.options.title_with], LONGEST_NAME)
    return style.say("{name}: {title}", name=name, title=text) if name else text


def description(activity: ActivityRecord, people: list[str], say: Words) -> str:
    """The description, who takes part, and on the last line the way back to the CRM."""
    named = ", ".join(people[:MOST_PARTICIPANTS])
    if len(people) > MOST_PARTICIPANTS:
        named += " " + say("and {n} more", n=len(people) - MOST_PARTICIPANTS)
    url = ascii_url(activity.url)
    lines = (
        shortened(activity.description or "", LONGEST_DESCRIPTION),
        named and say("Participants: {people}", people=named),
        url and say("Open in CRM: {url}", url=url),
    )
    return "\n".join(line for line in lines if line)


def participants(activity: ActivityRecord, style: Style) -> tuple[list[vCalAddress], list[str]]:
    """Who takes part: as ATTENDEE if the link says so and the address is one, all others in words."""
    as_attendees = style.options.participants == "ATTENDEE"
    invited = [p for p in activity.participants if as_attendees and EMAIL.fullmatch(p.email or "")]
    in_words = [p for p in activity.participants if p not in invited]
    return [attendee(p) for p in invited[:MOST_PARTICIPANTS]], [written for p in in_words if (written := person(p))]


def attendee(participant: Participant) -> vCalAddress:
    """ATTENDEE, without a request to answer (RFC 5545, section 3.8.4.1)."""
    address = vCalAddress("mailto:" + quote(participant.email or "", safe="@!$&'*+="))
    # Nothing escapes a backslash in a parameter, and some programs take it for an escape.
    if name := " ".join(clean(participant.name or "").replace("\\", "").split()):
        address.params["CN"] = shortened(name, LONGEST_LINE)
    address.params["PARTSTAT"] = PARTSTATS.get(participant.response or "", "NEEDS-ACTION")
    return address


def person(participant: Participant) -> str:
    """ "Ana Pérez (ana@contoso.example)": angle brackets would make the address vanish where HTML is read."""
    name, email = (" ".join(clean(text or "").split()) for text in (participant.name, participant.email))
    return shortened(f"{name} ({email})" if name and email else name or email, LONGEST_LINE)


def ascii_url(url: str | None) -> str | None:
    """The web address in ASCII, without name and password; None if it is not one.

    One bad URL makes some programs refuse the whole feed.
    """
    try:
        parsed = URL(url or "")
        written = str(parsed.with_user(None)) if parsed.scheme in ("http", "https") and parsed.host else ""
    except ValueError:
        return None
    is_one = written.isascii() and " " not in written and 0 < len(written) <= LONGEST_URL
    return written if is_one else None
