"""Options of links: a style revision, raised with all that changes the words of a feed but not its activities.

What calendar programs compare is SEQUENCE, LAST-MODIFIED and DTSTAMP: where a link's options or its user's language
change what an event says, these have to move although the activity did not change.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STYLE = """
ALTER TABLE feed_links
    ADD COLUMN style_revision integer NOT NULL DEFAULT 0,
    ADD COLUMN styled_at timestamptz"""

# A series is rendered for the window of a day. What is there already was rendered by the release before.
FRAGMENTS_DAY = "ALTER TABLE fragments ADD COLUMN day date"
FRAGMENTS_EMPTY = "DELETE FROM fragments"

# Options that only say which activities are shown leave the shown ones as they are.
RESTYLE_LINK = """
CREATE FUNCTION restyle_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    choosing text[] := '{activity_types,tasks_as,days_back,days_ahead,completed_tasks,cancelled}';
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

# Only links whose titles hold the name: to touch more would let two renames wait for each other.
USERS_RESTYLED = """
CREATE FUNCTION users_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.id, n.locale <> o.locale AS speaks, n.name <> o.name AS named
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.locale, n.name) IS DISTINCT FROM (o.locale, o.name) ORDER BY 1, 2 LOOP
        UPDATE feed_links l SET style_revision = l.style_revision + 1
         WHERE l.account_id = r.account_id
           AND (r.speaks AND l.user_id = r.id OR r.named AND l.options @> '{"title_with": "OWNER"}');
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
    FOR r IN SELECT n.account_id, n.id FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE n.name <> o.name ORDER BY 1, 2 LOOP
        UPDATE feed_links l SET style_revision = l.style_revision + 1
         WHERE l.account_id = r.account_id AND l.options @> '{"title_with": "CALENDAR"}'
           AND (l.calendar_id = r.id OR l.calendar_id IS NULL AND EXISTS (
                    SELECT 1 FROM calendar_access x
                     WHERE x.account_id = r.account_id AND x.user_id = l.user_id AND x.calendar_id = r.id));
    END LOOP;
    RETURN NULL;
END $$"""

CALENDARS_RESTYLED_TRIGGER = """
CREATE TRIGGER calendars_restyled AFTER UPDATE ON calendars
    REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION calendars_restyled()"""


def upgrade() -> None:
    for statement in (
        STYLE, FRAGMENTS_DAY, FRAGMENTS_EMPTY, RESTYLE_LINK, RESTYLE_LINK_TRIGGER,
        USERS_RESTYLED, USERS_RESTYLED_TRIGGER, CALENDARS_RESTYLED, CALENDARS_RESTYLED_TRIGGER,
    ):  # fmt: skip
        op.execute(statement)
