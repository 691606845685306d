"""What changed in a calendar, by version: so that a feed of many activities can be brought up to date by a few.

Versions of a calendar are raised one after the other, under a lock, and each now says which activities it is about.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

# For the foreign key. Where earlier migrations run in the same transaction, 0004 has locked it already.
LOCK_CALENDARS = "LOCK TABLE calendars IN SHARE ROW EXCLUSIVE MODE"

# activity_ids: those that a subscriber may see otherwise than before; null: more than a feed looks up one by one, or
# the calendar itself. rendering_at: when a process began to render them before a poll asks for it. Older versions are
# forgotten.
CALENDAR_CHANGES = """
CREATE TABLE calendar_changes (
    account_id   uuid        NOT NULL,
    calendar_id  uuid        NOT NULL,
    version      bigint      NOT NULL,
    activity_ids uuid[],
    changed_at   timestamptz NOT NULL,
    rendering_at timestamptz,
    CONSTRAINT calendar_changes_pkey PRIMARY KEY (account_id, calendar_id, version),
    CONSTRAINT calendar_changes_calendar_fkey FOREIGN KEY (account_id, calendar_id)
        REFERENCES calendars (account_id, id) ON DELETE CASCADE
)"""

# What is worth rendering ahead, of all accounts: more than a poll renders without being noticed.
CALENDAR_CHANGES_UNRENDERED = """
CREATE INDEX calendar_changes_unrendered_idx ON calendar_changes (account_id, calendar_id)
 WHERE rendering_at IS NULL AND (activity_ids IS NULL OR cardinality(activity_ids) > 10)"""

# As the one before it raised versions. A calendar that is being deleted has no changes any more. A number comes again
# only where somebody set it back; then it is about what is changed now.
RAISE_CALENDAR_VERSION = """
CREATE FUNCTION raise_calendar_version(account uuid, calendar uuid, ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    raised_to bigint;
    raised_at timestamptz;
BEGIN
    PERFORM 1 FROM calendar_versions v WHERE v.account_id = account AND v.calendar_id = calendar FOR UPDATE;
    raised_at := clock_timestamp();
    UPDATE calendar_versions v
       SET version = v.version + 1, changed_at = greatest(raised_at, v.changed_at + interval '1 microsecond')
     WHERE v.account_id = account AND v.calendar_id = calendar
    RETURNING v.version, v.changed_at INTO raised_to, raised_at;
    INSERT INTO calendar_changes (account_id, calendar_id, version, activity_ids, changed_at)
    SELECT account, c.id, raised_to, CASE WHEN cardinality(ids) <= 100 THEN ids END, raised_at
      FROM calendars c WHERE c.account_id = account AND c.id = calendar AND raised_to IS NOT NULL
    ON CONFLICT (account_id, calendar_id, version) DO UPDATE
       SET activity_ids = excluded.activity_ids, changed_at = excluded.changed_at, rendering_at = NULL;
    DELETE FROM calendar_changes h
     WHERE h.account_id = account AND h.calendar_id = calendar AND h.version <= raised_to - 100;
END $$"""

# As before, and each version says what it is about.
CALENDARS_UPDATED = """
CREATE OR REPLACE FUNCTION calendars_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.id FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.name, n.color, n.deleted_at) IS DISTINCT FROM (o.name, o.color, o.deleted_at) ORDER BY 1, 2 LOOP
        PERFORM raise_calendar_version(r.account_id, r.id, NULL);
    END LOOP;
    RETURN NULL;
END $$"""
ACTIVITIES_UPDATED = """
CREATE OR REPLACE FUNCTION activities_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a record;
    r record;
BEGIN
    FOR a IN SELECT w.account_id, array_agg(w.id) AS ids
               FROM (SELECT n.account_id, n.id, n.revision, n.placings FROM newt n
                     EXCEPT SELECT o.account_id, o.id, o.revision, o.placings FROM oldt o) w
              GROUP BY 1 ORDER BY 1 LOOP
        FOR r IN SELECT e.calendar_id, array_agg(e.activity_id) AS ids FROM calendar_entries e
                  WHERE e.account_id = a.account_id AND e.activity_id = ANY (a.ids) GROUP BY 1 ORDER BY 1 LOOP
            PERFORM raise_calendar_version(a.account_id, r.calendar_id, r.ids);
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$"""
RAISE_ENTERED = """
    FOR r IN SELECT e.account_id, e.calendar_id, array_agg(e.activity_id) AS ids FROM ({entries}) e
              GROUP BY 1, 2 ORDER BY 1, 2 LOOP
        PERFORM raise_calendar_version(r.account_id, r.calendar_id, r.ids);
    END LOOP;"""
LOCK_ENTERED = """
    FOR r IN SELECT n.account_id, array_agg(n.activity_id) AS ids FROM newt n GROUP BY 1 ORDER BY 1 LOOP
        PERFORM 1 FROM activities a WHERE a.account_id = r.account_id AND a.id = ANY (r.ids) ORDER BY a.id FOR SHARE;
    END LOOP;"""
NEW_ENTRIES = "SELECT account_id, calendar_id, activity_id FROM newt"
OLD_ENTRIES = "SELECT account_id, calendar_id, activity_id FROM oldt"
ENTRIES = {
    "inserted": LOCK_ENTERED + RAISE_ENTERED.format(entries=NEW_ENTRIES),
    "updated": LOCK_ENTERED + RAISE_ENTERED.format(entries=f"{NEW_ENTRIES} UNION {OLD_ENTRIES}"),
    "deleted": RAISE_ENTERED.format(entries=OLD_ENTRIES),
}
CALENDAR_ENTRIES_WRITTEN = [
    f"""
CREATE OR REPLACE FUNCTION calendar_entries_{how}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN{body}
    RETURN NULL;
END $$"""
    for how, body in ENTRIES.items()
]


def upgrade() -> None:
    for statement in (LOCK_CALENDARS, CALENDAR_CHANGES, CALENDAR_CHANGES_UNRENDERED, RAISE_CALENDAR_VERSION):
        op.execute(statement)
    for statement in (CALENDARS_UPDATED, ACTIVITIES_UPDATED, *CALENDAR_ENTRIES_WRITTEN):
        op.execute(statement)
    op.execute("DROP FUNCTION raise_calendar_version(uuid, uuid)")
