"""Options of links, and counters of what changes the words of a feed but not its activities.

What calendar programs compare is SEQUENCE, LAST-MODIFIED and DTSTAMP. Where a link's options or its user's language
change what an event says, these have to move although the activity did not change: so links count their styles. Where
a feed names the calendars that an activity stands in, another calendar changes what it says there, and nowhere else:
so activities count their placings apart from their revisions.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STYLE = """
ALTER TABLE feed_links
    ADD COLUMN style_revision integer NOT NULL DEFAULT 0,
    ADD COLUMN styled_at timestamptz"""

PLACINGS = """
ALTER TABLE activities
    ADD COLUMN placings integer NOT NULL DEFAULT 0,
    ADD COLUMN placed_at timestamptz"""

# As before, but for placings: whoever writes another number there says that a placing is to be counted. And a key of
# the CRM's and the zone that an activity was planned in are in no feed.
REVISE_ACTIVITY = """
CREATE OR REPLACE FUNCTION revise_activity() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    exported activities;
    placings integer := new.placings;
    now_second timestamptz := date_trunc('second', clock_timestamp());
BEGIN
    IF TG_OP = 'INSERT' THEN
        new.revision := 0;
        new.changed_at := now_second;
        new.placings := 0;
        new.placed_at := NULL;
        RETURN new;
    END IF;
    new.revision := old.revision;
    new.created_at := old.created_at;
    new.changed_at := old.changed_at;
    new.placings := old.placings;
    new.placed_at := old.placed_at;
    exported := new;
    exported.external_id := old.external_id;
    exported.time_zone := old.time_zone;
    IF exported IS DISTINCT FROM old THEN
        new.revision := old.revision + 1;
        new.changed_at := greatest(now_second, old.changed_at + interval '1 second');
    END IF;
    IF placings <> old.placings THEN
        new.placings := old.placings + 1;
        new.placed_at := greatest(now_second, old.placed_at + interval '1 second');
    END IF;
    RETURN new;
END $$"""

# As before, but for placings, which a subscriber sees as well.
ACTIVITIES_UPDATED = """
CREATE OR REPLACE FUNCTION activities_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a record;
    r record;
BEGIN
    FOR a IN SELECT n.account_id, array_agg(n.id) AS ids
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.revision, n.placings) <> (o.revision, o.placings) GROUP BY 1 ORDER BY 1 LOOP
        FOR r IN SELECT DISTINCT e.calendar_id FROM calendar_entries e
                  WHERE e.account_id = a.account_id AND e.activity_id = ANY (a.ids) ORDER BY 1 LOOP
            PERFORM raise_calendar_version(a.account_id, r.calendar_id);
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$"""

# In one order for all, so that two writers of the same activities do not wait for each other.
PLACE_ACTIVITIES = """
CREATE FUNCTION place_activities(account uuid, ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM activities a WHERE a.account_id = account AND a.id = ANY (ids) ORDER BY a.id
        FOR NO KEY UPDATE;
    UPDATE activities a SET placings = a.placings + 1 WHERE a.account_id = account AND a.id = ANY (ids);
END $$"""

# Only what stands in another calendar too: a new activity has no earlier placing that anybody could have seen. All of
# them are locked first, so that of two writers who place the same activity the later sees the other's calendar.
CALENDAR_ENTRIES_PLACED = """
CREATE FUNCTION calendar_entries_placed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT w.account_id, array_agg(w.activity_id) AS ids FROM written w GROUP BY 1 ORDER BY 1 LOOP
        PERFORM 1 FROM activities a WHERE a.account_id = r.account_id AND a.id = ANY (r.ids) ORDER BY a.id
            FOR NO KEY UPDATE;
    END LOOP;
    FOR r IN SELECT w.account_id, array_agg(DISTINCT w.activity_id) AS ids
               FROM written w
              WHERE TG_OP = 'UPDATE' OR EXISTS (
                            SELECT 1 FROM calendar_entries e
                             WHERE e.account_id = w.account_id AND e.activity_id = w.activity_id
                               AND NOT EXISTS (SELECT 1 FROM written o
                                                WHERE o.account_id = e.account_id AND o.activity_id = e.activity_id
                                                  AND o.calendar_id = e.calendar_id))
              GROUP BY 1 ORDER BY 1 LOOP
        PERFORM place_activities(r.account_id, r.ids);
    END LOOP;
    RETURN NULL;
END $$"""

# Before the triggers that raise the versions, as every writer takes activities before versions.
CALENDAR_ENTRIES_PLACED_TRIGGERS = [
    f"""CREATE TRIGGER calendar_entries_{word} AFTER {event} ON calendar_entries
        REFERENCING {table} TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_entries_placed()"""
    for word, event, table in (
        ("a_inserted", "INSERT", "NEW"), ("a_deleted", "DELETE", "OLD"),
        ("a_updated", "UPDATE", "NEW"), ("a_replaced", "UPDATE", "OLD"),
    )
]  # fmt: skip

# The day for which a series was rendered, or found out that an activity cannot be; and the day on which it was.
FRAGMENTS_DAY = "ALTER TABLE fragments ADD COLUMN day date, ADD COLUMN rendered_on date"
FRAGMENTS_ICS = "ALTER TABLE fragments ALTER COLUMN ics DROP NOT NULL"
# What is there was rendered by the release before.
FRAGMENTS_EMPTY = "DELETE FROM fragments"

# Options that only say which activities are shown leave the shown ones as they are.
RESTYLE_LINK = """
CREATE FUNCTION restyle_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    choosing text[] := '{activity_types,days_back,days_ahead,completed_tasks}';
BEGIN
    new.styled_at := old.styled_at;
    IF new.style_revision <> old.style_revision OR new.options - choosing <> old.options - choosing THEN
        new.style_revision := old.style_revision + 1;
        new.styled_at := greatest(date_trunc('second', clock_timestamp()), old.styled_at + interval '1 second');
    END IF;
    RETURN new;
END $$"""

RESTYLE_LINK_TRIGGER = """
CREATE TRIGGER feed_links_restyle BEFORE UPDATE ON feed_links FOR EACH ROW EXECUTE FUNCTION restyle_link()"""

# Of other people's links only those whose titles hold the name.
USERS_RESTYLED = """
CREATE FUNCTION users_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.id, n.name <> o.name AS named,
                    (n.locale, n.time_zone) <> (o.locale, o.time_zone) AS reads_otherwise
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.locale, n.time_zone, n.name) <> (o.locale, o.time_zone, o.name) ORDER BY 1, 2 LOOP
        UPDATE feed_links l SET style_revision = l.style_revision + 1
         WHERE l.account_id = r.account_id
           AND (r.reads_otherwise AND l.user_id = r.id OR r.named AND l.options @> '{"title_with": "OWNER"}');
    END LOOP;
    RETURN NULL;
END $$"""

USERS_RESTYLED_TRIGGER = """
CREATE TRIGGER users_restyled AFTER UPDATE ON users
    REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION users_restyled()"""

CALENDARS_RESTYLED = """
CREATE FUNCTION calendars_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, array_agg(DISTINCT e.activity_id) AS ids
               FROM newt n
               JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
               JOIN calendar_entries e ON e.account_id = n.account_id AND e.calendar_id = n.id
              WHERE (n.name, n.color, n.deleted_at) IS DISTINCT FROM (o.name, o.color, o.deleted_at)
              GROUP BY 1 ORDER BY 1 LOOP
        PERFORM place_activities(r.account_id, r.ids);
    END LOOP;
    FOR r IN SELECT n.account_id, n.id FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE n.name <> o.name ORDER BY 1, 2 LOOP
        UPDATE feed_links l SET style_revision = l.style_revision + 1
         WHERE l.account_id = r.account_id AND l.calendar_id = r.id AND l.options @> '{"title_with": "CALENDAR"}';
    END LOOP;
    RETURN NULL;
END $$"""

CALENDARS_RESTYLED_TRIGGER = """
CREATE TRIGGER calendars_restyled AFTER UPDATE ON calendars
    REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION calendars_restyled()"""

# Another calendar that the user may see is another name of what stands in it, in their feeds of all calendars.
CALENDAR_ACCESS_RESTYLED = """
CREATE FUNCTION calendar_access_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT DISTINCT w.account_id, w.user_id FROM written w ORDER BY 1, 2 LOOP
        UPDATE feed_links l SET style_revision = l.style_revision + 1
         WHERE l.account_id = r.account_id AND l.user_id = r.user_id AND l.calendar_id IS NULL;
    END LOOP;
    RETURN NULL;
END $$"""

CALENDAR_ACCESS_RESTYLED_TRIGGERS = [
    f"""CREATE TRIGGER calendar_access_restyled_{event.lower()} AFTER {event} ON calendar_access
        REFERENCING {table} TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_access_restyled()"""
    for event, table in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
]


def upgrade() -> None:
    for statement in (
        STYLE, FRAGMENTS_DAY, FRAGMENTS_ICS, FRAGMENTS_EMPTY,
        PLACINGS, REVISE_ACTIVITY, ACTIVITIES_UPDATED, PLACE_ACTIVITIES,
        CALENDAR_ENTRIES_PLACED, *CALENDAR_ENTRIES_PLACED_TRIGGERS,
        RESTYLE_LINK, RESTYLE_LINK_TRIGGER,
        USERS_RESTYLED, USERS_RESTYLED_TRIGGER, CALENDARS_RESTYLED, CALENDARS_RESTYLED_TRIGGER,
        CALENDAR_ACCESS_RESTYLED, *CALENDAR_ACCESS_RESTYLED_TRIGGERS,
    ):  # fmt: skip
        op.execute(statement)
