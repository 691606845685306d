"""Series in inputs → what activities keep of them: built by the code that imports, judged by the code that renders."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from time import thread_time
from typing import Any, cast

from strawberry.utils.str_converters import to_camel_case

from api.activities.inputs import MOST_EXCEPTIONS, OccurrenceOverrideInput, RecurrenceInput
from api.activities.values import Mistakes, check_whole, read_time, said_values, statuses
from api.errors import ItemRepeated, Refused, TooManyItems
from api.texts import text_error
from db.activities import Activity
from feed.importing.recurrence import Override, recurrence
from feed.importing.schedules import Schedule, Span, instant
from feed.importing.values import YEARS, BadValueError, Duration, later, parse_rule, rule_text
from feed.options import MOST_DAYS
from feed.recurring.kept import MOST_LETTERS
from feed.recurring.series import SeriesError, check_series
from feed.window import When, Window, zone_of

RULE = "Give an RRULE of RFC 5545, like FREQ=WEEKLY;BYDAY=MO"
TRIAL_SECONDS = 2.0  # of the processor's time that the unusual series of a call may take all together
NO_TIMES = dict.fromkeys(("starts_at", "starts_on", "ends_at", "ends_on", "due_at", "due_on"))
EXCEPTIONS = ("exclusion_rules", "dates", "excluded_dates", "overrides")

Kept = dict[str, Any]


def kept_series(given: RecurrenceInput, activity: Activity, mistakes: Mistakes) -> Kept | None:
    """The series in the shape that `feed.importing.recurrence` describes; None if anything of it is wrong."""
    span, wrong_before = _span(activity), len(mistakes.found)
    if span == Span(None):
        mistakes.add("Give the series a start: startsAt or startsOn, or of a task its deadline.")
        return None
    rule = _rule(given.rule, mistakes)
    excluded = [_occurrence(when, span, mistakes.at("exdates", n)) for n, when in _few(given, "exdates", mistakes)]
    overrides = list(_overrides(given, activity, mistakes))
    if len(mistakes.found) > wrong_before:
        return None
    return recurrence(Schedule(span=span, rules=(rule,), excluded_dates=tuple(filter(None, excluded))), overrides)


def moved_series(kept: Kept, activity: Activity, before: Activity, mistakes: Mistakes) -> Kept:
    """The kept series of an activity that may have other times than before."""
    if (_span(activity), activity.time_zone) == (_span(before), before.time_zone):
        return kept
    if _span(activity) == Span(None):
        mistakes.add("A series needs a start: give startsAt or startsOn, or null here.")
    elif any(kept.get(name) for name in EXCEPTIONS):
        mistakes.add("The series has other times now: give its recurrence as well, with exceptions that fit them.")
    else:
        return recurrence(Schedule(span=_span(activity), rules=tuple(kept.get("rules", ()))), ())
    return kept


def check_all(series: Iterable[tuple[Kept, Mistakes]], now: datetime) -> None:
    """See that feeds can show these series, whatever days their links choose. `Refused` if that takes too long."""
    window, began = Window.around(now, zone_of("UTC"), MOST_DAYS, MOST_DAYS), thread_time()
    for kept, mistakes in series:
        if thread_time() - began > TRIAL_SECONDS:
            message = "The series of this call are too much work to look through: send fewer of them in a call."
            raise Refused(TooManyItems(message=message, path=[*mistakes.path[:1]]))  # none of them is wrong for that
        try:
            check_series(kept, window)
        except SeriesError:
            mistakes.add(f"{RULE}, that gives no more than a few occurrences a day.", "rule")


def _rule(text: str, mistakes: Mistakes) -> str:
    if not mistakes.note(text_error(text, MOST_LETTERS, *mistakes.path, "rule")):
        try:
            return rule_text(parse_rule(text.strip().upper().removeprefix("RRULE:")))
        except BadValueError as exc:
            mistakes.add(f"{RULE}: this one {exc}.", "rule")
    return ""


def _few(given: RecurrenceInput, name: str, mistakes: Mistakes) -> Iterator[tuple[int, Any]]:
    values = getattr(given, name) or ()
    if len(values) > MOST_EXCEPTIONS:
        mistakes.add(f"Give at most {MOST_EXCEPTIONS}: these are {len(values):,}.", name)
        return
    yield from enumerate(values)


def _span(activity: Activity) -> Span:
    """From its start to its end, or to its deadline; moments on the clock of its zone, or of UTC."""
    zone = zone_of(activity.time_zone or "UTC")
    starts = activity.starts_at or activity.starts_on
    ends = activity.due_at or activity.due_on or activity.ends_at or activity.ends_on
    starts, ends = (when.astimezone(zone) if isinstance(when, datetime) else when for when in (starts, ends))
    return Span(starts, ends)


def _occurrence(given: object, span: Span, mistakes: Mistakes) -> When | None:
    """Which occurrence is meant, by its start; None if it can be none."""
    when, basis = cast(When, given), span.starts or span.ends
    if when.year not in YEARS:
        mistakes.add(f"Give a time in the years {YEARS[0]} to {YEARS[-1]}.")
        return None
    if isinstance(when, datetime) and not isinstance(basis, datetime):
        mistakes.add("Name a day, like 2026-03-30: this series runs by days.")
        return None
    return when


def _overrides(given: RecurrenceInput, series: Activity, mistakes: Mistakes) -> Iterator[Override]:
    seen: dict[When, int] = {}
    for place, said in _few(given, "overrides", mistakes):
        below = mistakes.at("overrides", place)
        when = _occurrence(said.occurrence, _span(series), below.at("occurrence"))
        if when is None:
            continue
        first = seen.setdefault(instant(when) if isinstance(when, datetime) else when, place)
        if first != place:
            message = f"Override {first} is of the same occurrence: give one of the two."
            below.add(message, "occurrence", kind=ItemRepeated)
        yield _override(said, when, series, below)


def _override(given: OccurrenceOverrideInput, replaced: When, series: Activity, mistakes: Mistakes) -> Override:
    """The occurrence with all that it says; of its times none, if it has those that the rule gives it."""
    content = said_values(given, mistakes)
    content["title"] = content.get("title", series.title) or ""
    content["status"] = content.get("status", series.status) or statuses(series.type)[0]
    activity, span = replace(series, recurrence=None, **content), Span(None)
    if any(getattr(given, name) for name in NO_TIMES):
        activity = replace(activity, **_times(given, replaced, series, mistakes))
        span = _span(activity)
    check_whole(activity, mistakes)
    return Override(Schedule(span=span, recurrence_id=replaced), activity)


def _times(given: OccurrenceOverrideInput, replaced: When, series: Activity, mistakes: Mistakes) -> dict[str, Any]:
    """When it is: it begins when it would, and is as long as the others, where it does not say otherwise."""
    span = _span(series)
    would = _start(replaced, span)
    begins = given.starts_at or given.starts_on or (would if span.starts else None)
    ends = given.due_at or given.due_on or given.ends_at or given.ends_on
    try:
        ends = ends or (_as_long(begins, span) if begins and span.starts else would)
    except BadValueError as exc:
        mistakes.add(f"The occurrence {exc}: give it an end.")
    last = "due" if series.due_at or series.due_on else "ends"
    said = {name: when for name in NO_TIMES if (when := getattr(given, name))}
    times = {**NO_TIMES, **_column("starts", begins), **_column(last, ends), **said}
    return {name: read_time(when, mistakes, to_camel_case(name)) for name, when in times.items()}


def _start(replaced: When, span: Span) -> When:
    """The start of an occurrence, also where only its day is named."""
    basis = span.starts or span.ends
    if isinstance(basis, datetime) and not isinstance(replaced, datetime):
        return datetime.combine(replaced, basis.timetz())
    return replaced


def _as_long(begins: When, span: Span) -> When | None:
    """The end of what is as long as that; None where one counts by days and the other does not."""
    match begins, span.starts, span.ends:
        case datetime(), datetime() as starts, datetime() as ends:
            return later(begins, Duration(0, round((instant(ends) - instant(starts)).total_seconds())))
        case _, starts, ends if starts and ends and not any(isinstance(when, datetime) for when in (begins, *span[:2])):
            return later(begins, Duration((ends - starts).days, 0))
    return None


def _column(name: str, when: When | None) -> dict[str, When | None]:
    return {f"{name}_at" if isinstance(when, datetime) else f"{name}_on": when}
