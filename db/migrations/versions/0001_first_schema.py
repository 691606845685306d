"""The first schema: every table, the revision trigger and the version triggers.

Every key starts with `account_id`, so that the same schema distributes by account. Nothing is deferrable, unlogged or
set to null by a delete, and every constraint has a name: a named violation becomes a named user error.
"""

from alembic import op

revision = "0001"
down_revision = None

ACCOUNTS = """
CREATE TABLE accounts (
    account_id   uuid        NOT NULL,
    name         text        NOT NULL,
    suspended_at timestamptz,
    created_at   timestamptz NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (account_id),
    CONSTRAINT accounts_name_check CHECK (name <> ''),
    CONSTRAINT accounts_suspended_check CHECK (isfinite(suspended_at))
)"""

USERS = """
CREATE TABLE users (
    account_id     uuid        NOT NULL,
    id             uuid        NOT NULL,
    external_id    text,
    name           text        NOT NULL,
    email          text,
    administrator  boolean     NOT NULL DEFAULT false,
    time_zone      text        NOT NULL DEFAULT 'UTC',
    locale         text        NOT NULL DEFAULT 'en',
    deactivated_at timestamptz,
    created_at     timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT users_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT users_external_id_key UNIQUE (account_id, external_id),
    CONSTRAINT users_name_check CHECK (name <> ''),
    CONSTRAINT users_time_zone_check CHECK (time_zone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
    CONSTRAINT users_deactivated_check CHECK (isfinite(deactivated_at))
)"""

USERS_EMAIL = "CREATE UNIQUE INDEX users_email_key ON users (account_id, lower(email))"

CALENDARS = """
CREATE TABLE calendars (
    account_id  uuid        NOT NULL,
    id          uuid        NOT NULL,
    external_id text,
    name        text        NOT NULL,
    color       text,
    deleted_at  timestamptz,
    created_at  timestamptz NOT NULL,
    CONSTRAINT calendars_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT calendars_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT calendars_external_id_key UNIQUE (account_id, external_id),
    CONSTRAINT calendars_name_check CHECK (name <> ''),
    CONSTRAINT calendars_color_check CHECK (color ~ '^#[0-9A-F]{6}$'),
    CONSTRAINT calendars_deleted_check CHECK (isfinite(deleted_at))
)"""

CALENDAR_VERSIONS = """
CREATE TABLE calendar_versions (
    account_id  uuid        NOT NULL,
    calendar_id uuid        NOT NULL,
    version     bigint      NOT NULL,
    changed_at  timestamptz NOT NULL,
    CONSTRAINT calendar_versions_pkey PRIMARY KEY (account_id, calendar_id),
    CONSTRAINT calendar_versions_calendar_fkey FOREIGN KEY (account_id, calendar_id)
        REFERENCES calendars (account_id, id) ON DELETE CASCADE
)"""

CALENDAR_ACCESS = """
CREATE TABLE calendar_access (
    account_id   uuid        NOT NULL,
    calendar_id  uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    granted_at   timestamptz NOT NULL,
    withdrawn_at timestamptz,
    CONSTRAINT calendar_access_pkey PRIMARY KEY (account_id, user_id, calendar_id),
    CONSTRAINT calendar_access_calendar_fkey FOREIGN KEY (account_id, calendar_id)
        REFERENCES calendars (account_id, id) ON DELETE CASCADE,
    CONSTRAINT calendar_access_user_fkey FOREIGN KEY (account_id, user_id)
        REFERENCES users (account_id, id) ON DELETE CASCADE,
    CONSTRAINT calendar_access_withdrawn_check CHECK (isfinite(withdrawn_at))
)"""

CALENDAR_ACCESS_CALENDAR = "CREATE INDEX calendar_access_calendar_idx ON calendar_access (account_id, calendar_id)"

# The shape of participants: [{"name", "email", "response"}], each a text or absent.
ACTIVITIES = """
CREATE TABLE activities (
    account_id   uuid        NOT NULL,
    id           uuid        NOT NULL,
    external_id  text,
    owner_id     uuid,
    type         text        NOT NULL,
    title        text        NOT NULL DEFAULT '',
    description  text,
    location     text,
    url          text,
    starts_at    timestamptz,
    ends_at      timestamptz,
    starts_on    date,
    ends_on      date,
    due_at       timestamptz,
    due_on       date,
    time_zone    text,
    recurrence   jsonb,
    status       text        NOT NULL,
    priority     text,
    participants jsonb       NOT NULL DEFAULT '[]',
    private      boolean     NOT NULL DEFAULT false,
    revision     integer     NOT NULL,
    created_at   timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    CONSTRAINT activities_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT activities_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT activities_owner_fkey FOREIGN KEY (account_id, owner_id) REFERENCES users (account_id, id),
    CONSTRAINT activities_external_id_key UNIQUE (account_id, type, external_id),
    CONSTRAINT activities_type_check CHECK (type IN ('MEETING', 'CALL', 'TASK', 'NOTE')),
    CONSTRAINT activities_status_check CHECK (CASE type
        WHEN 'TASK' THEN status IN ('NEEDS_ACTION', 'IN_PROCESS', 'COMPLETED', 'CANCELLED')
        ELSE status IN ('CONFIRMED', 'TENTATIVE', 'CANCELLED') END),
    CONSTRAINT activities_priority_check CHECK (priority IN ('HIGH', 'NORMAL', 'LOW')),
    CONSTRAINT activities_start_check CHECK (starts_at IS NULL OR starts_on IS NULL),
    CONSTRAINT activities_end_check CHECK (
        (ends_at IS NULL OR ends_at >= starts_at AND starts_at IS NOT NULL)
        AND (ends_on IS NULL OR ends_on > starts_on AND starts_on IS NOT NULL)),
    CONSTRAINT activities_years_check CHECK (
        least(starts_at, ends_at, due_at, created_at) >= '0002-01-01Z'
        AND greatest(starts_at, ends_at, due_at, created_at) <= '9999-12-31 23:59:59Z'
        AND least(starts_on, ends_on, due_on) >= '0002-01-01' AND greatest(starts_on, ends_on, due_on) <= '9999-12-31'),
    CONSTRAINT activities_due_check CHECK (num_nonnulls(due_at, due_on) <= CASE type WHEN 'TASK' THEN 1 ELSE 0 END),
    CONSTRAINT activities_recurrence_check CHECK (jsonb_typeof(recurrence) = 'object'),
    CONSTRAINT activities_participants_check CHECK (
        jsonb_typeof(participants) = 'array'
        AND NOT participants @? 'strict $[*] ? (@.type() != "object")'
        AND NOT participants @? '$[*].* ? (@.type() != "string")'
        AND NOT participants @? '$[*].keyvalue().key ? (!(@ == "name" || @ == "email" || @ == "response"))'
        AND NOT participants @? '$[*] ? (!exists(@.name) && !exists(@.email))')
)"""

ACTIVITIES_OWNER = "CREATE INDEX activities_owner_idx ON activities (account_id, owner_id)"

CALENDAR_ENTRIES = """
CREATE TABLE calendar_entries (
    account_id  uuid NOT NULL,
    calendar_id uuid NOT NULL,
    activity_id uuid NOT NULL,
    CONSTRAINT calendar_entries_pkey PRIMARY KEY (account_id, calendar_id, activity_id),
    CONSTRAINT calendar_entries_calendar_fkey FOREIGN KEY (account_id, calendar_id)
        REFERENCES calendars (account_id, id) ON DELETE CASCADE,
    CONSTRAINT calendar_entries_activity_fkey FOREIGN KEY (account_id, activity_id)
        REFERENCES activities (account_id, id) ON DELETE CASCADE
)"""

CALENDAR_ENTRIES_ACTIVITY = "CREATE INDEX calendar_entries_activity_idx ON calendar_entries (account_id, activity_id)"

# A fragment is of one variant (how it is rendered) and one revision of its activity: of another revision it is stale.
FRAGMENTS = """
CREATE TABLE fragments (
    account_id  uuid    NOT NULL,
    activity_id uuid    NOT NULL,
    variant     text    NOT NULL,
    revision    integer NOT NULL,
    ics         bytea   NOT NULL,
    CONSTRAINT fragments_pkey PRIMARY KEY (account_id, activity_id, variant),
    CONSTRAINT fragments_activity_fkey FOREIGN KEY (account_id, activity_id)
        REFERENCES activities (account_id, id) ON DELETE CASCADE
)"""

# resets[n] is the time at which generation n died: an old URL shows its notice for so many days after its own death.
FEED_LINKS = """
CREATE TABLE feed_links (
    account_id  uuid          NOT NULL,
    id          uuid          NOT NULL,
    user_id     uuid          NOT NULL,
    calendar_id uuid,
    name        text          NOT NULL DEFAULT '',
    key_id      text          NOT NULL,
    generation  integer       NOT NULL DEFAULT 1,
    resets      timestamptz[] NOT NULL DEFAULT '{}',
    options     jsonb         NOT NULL DEFAULT '{}',
    created_at  timestamptz   NOT NULL,
    changed_at  timestamptz   NOT NULL,
    paused_at   timestamptz,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    CONSTRAINT feed_links_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT feed_links_user_fkey FOREIGN KEY (account_id, user_id)
        REFERENCES users (account_id, id) ON DELETE CASCADE,
    CONSTRAINT feed_links_calendar_fkey FOREIGN KEY (account_id, calendar_id)
        REFERENCES calendars (account_id, id) ON DELETE CASCADE,
    CONSTRAINT feed_links_generation_check CHECK (generation = cardinality(resets) + 1),
    CONSTRAINT feed_links_name_check CHECK (char_length(name) <= 100),
    CONSTRAINT feed_links_options_check CHECK (jsonb_typeof(options) = 'object'),
    CONSTRAINT feed_links_end_check CHECK (isfinite(paused_at) AND isfinite(expires_at) AND isfinite(revoked_at))
)"""

FEED_LINKS_NAME = """
CREATE UNIQUE INDEX feed_links_name_key ON feed_links (account_id, user_id, calendar_id, name)
    NULLS NOT DISTINCT WHERE revoked_at IS NULL"""

FEED_POLLS = """
CREATE TABLE feed_polls (
    account_id      uuid        NOT NULL,
    link_id         uuid        NOT NULL,
    client          text        NOT NULL,
    network         cidr        NOT NULL,
    first_polled_at timestamptz NOT NULL,
    last_polled_at  timestamptz NOT NULL,
    polls           bigint      NOT NULL,
    last_status     integer     NOT NULL,
    CONSTRAINT feed_polls_pkey PRIMARY KEY (account_id, link_id, client, network),
    CONSTRAINT feed_polls_link_fkey FOREIGN KEY (account_id, link_id)
        REFERENCES feed_links (account_id, id) ON DELETE CASCADE
)"""

API_KEYS = """
CREATE TABLE api_keys (
    account_id   uuid        NOT NULL,
    id           uuid        NOT NULL,
    name         text        NOT NULL,
    hash         bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT api_keys_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
)"""

AUDIT_LOG = """
CREATE TABLE audit_log (
    account_id uuid        NOT NULL,
    id         uuid        NOT NULL,
    at         timestamptz NOT NULL,
    actor_id   uuid,
    action     text        NOT NULL,
    subject_id uuid        NOT NULL,
    network    cidr,
    details    jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT audit_log_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT audit_log_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE
)"""

# What says whether a write changed anything is the whole row, less the columns that keep count of changes.
REVISE_ACTIVITY = """
CREATE FUNCTION revise_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        new.revision := 0;
        new.changed_at := date_trunc('second', clock_timestamp());
        RETURN new;
    END IF;
    new.revision := old.revision;
    new.created_at := old.created_at;
    new.changed_at := old.changed_at;
    IF new IS DISTINCT FROM old THEN
        new.revision := old.revision + 1;
        new.changed_at := greatest(date_trunc('second', clock_timestamp()), old.changed_at + interval '1 second');
    END IF;
    RETURN new;
END $$"""

REVISE_ACTIVITY_TRIGGER = """
CREATE TRIGGER activities_revise BEFORE INSERT OR UPDATE ON activities
    FOR EACH ROW EXECUTE FUNCTION revise_activity()"""

# users and feed_links: changed_at moves with every change and never back, as Last-Modified needs it; the time is that
# of the clock after the row is locked, whatever a writer put there.
TOUCH = """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new IS DISTINCT FROM old THEN
        new.changed_at := greatest(clock_timestamp(), old.changed_at + interval '1 microsecond');
    END IF;
    RETURN new;
END $$"""

TOUCH_TRIGGERS = [
    f"CREATE TRIGGER {table}_touch BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch()"
    for table in ("users", "feed_links")
]

# The time is read after the row is locked: of two writers the later one to commit has the later time, or a poll between
# their commits would see a Last-Modified that the second change does not move.
RAISE_CALENDAR_VERSION = """
CREATE FUNCTION raise_calendar_version(account uuid, calendar uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed timestamptz;
BEGIN
    PERFORM 1 FROM calendar_versions v WHERE v.account_id = account AND v.calendar_id = calendar FOR UPDATE;
    changed := clock_timestamp();
    UPDATE calendar_versions v
       SET version = v.version + 1, changed_at = greatest(changed, v.changed_at + interval '1 microsecond')
     WHERE v.account_id = account AND v.calendar_id = calendar;
END $$"""

CALENDARS_INSERTED = """
CREATE FUNCTION calendars_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.id FROM newt n ORDER BY 1, 2 LOOP
        INSERT INTO calendar_versions (account_id, calendar_id, version, changed_at)
        VALUES (r.account_id, r.id, 1, clock_timestamp());
    END LOOP;
    RETURN NULL;
END $$"""

CALENDARS_UPDATED = """
CREATE FUNCTION calendars_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.id FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.name, n.color, n.deleted_at) IS DISTINCT FROM (o.name, o.color, o.deleted_at) ORDER BY 1, 2 LOOP
        PERFORM raise_calendar_version(r.account_id, r.id);
    END LOOP;
    RETURN NULL;
END $$"""

ACTIVITIES_UPDATED = """
CREATE FUNCTION activities_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a record;
    r record;
BEGIN
    FOR a IN SELECT n.account_id, array_agg(n.id) AS ids
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE n.revision <> o.revision GROUP BY 1 ORDER BY 1 LOOP
        FOR r IN SELECT DISTINCT e.calendar_id FROM calendar_entries e
                  WHERE e.account_id = a.account_id AND e.activity_id = ANY (a.ids) ORDER BY 1 LOOP
            PERFORM raise_calendar_version(a.account_id, r.calendar_id);
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$"""

# Entries: every calendar that one was put into or taken out of is raised. The share lock waits for a change of the
# activity that is not committed yet: that writer could not see this entry, so would not raise its calendar's version.
RAISE_ENTERED = """
    FOR r IN SELECT DISTINCT e.account_id, e.calendar_id FROM ({entries}) e ORDER BY 1, 2 LOOP
        PERFORM raise_calendar_version(r.account_id, r.calendar_id);
    END LOOP;"""
LOCK_ENTERED = """
    FOR r IN SELECT n.account_id, array_agg(n.activity_id) AS ids FROM newt n GROUP BY 1 ORDER BY 1 LOOP
        PERFORM 1 FROM activities a WHERE a.account_id = r.account_id AND a.id = ANY (r.ids) ORDER BY a.id FOR SHARE;
    END LOOP;"""


def _entries_function(name: str, body: str) -> str:
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN{body}
    RETURN NULL;
END $$"""


NEW_ENTRIES, OLD_ENTRIES = ("SELECT account_id, calendar_id FROM newt", "SELECT account_id, calendar_id FROM oldt")
CALENDAR_ENTRIES_INSERTED = _entries_function(
    "calendar_entries_inserted", LOCK_ENTERED + RAISE_ENTERED.format(entries=NEW_ENTRIES)
)
CALENDAR_ENTRIES_UPDATED = _entries_function(
    "calendar_entries_updated", LOCK_ENTERED + RAISE_ENTERED.format(entries=f"{NEW_ENTRIES} UNION {OLD_ENTRIES}")
)
CALENDAR_ENTRIES_DELETED = _entries_function("calendar_entries_deleted", RAISE_ENTERED.format(entries=OLD_ENTRIES))

# What a user may see is part of the user: the time moves when access is given or taken, whatever times were written.
CALENDAR_ACCESS_WRITTEN = """
CREATE FUNCTION calendar_access_written() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
    moment timestamptz := clock_timestamp();
BEGIN
    FOR r IN SELECT DISTINCT w.account_id, w.user_id FROM written w ORDER BY 1, 2 LOOP
        UPDATE users u SET changed_at = moment WHERE u.account_id = r.account_id AND u.id = r.user_id;
    END LOOP;
    RETURN NULL;
END $$"""

VERSION_TRIGGERS = [
    """CREATE TRIGGER calendars_inserted AFTER INSERT ON calendars
        REFERENCING NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION calendars_inserted()""",
    """CREATE TRIGGER calendars_updated AFTER UPDATE ON calendars
        REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION calendars_updated()""",
    """CREATE TRIGGER activities_updated AFTER UPDATE ON activities
        REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION activities_updated()""",
    """CREATE TRIGGER calendar_entries_inserted AFTER INSERT ON calendar_entries
        REFERENCING NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION calendar_entries_inserted()""",
    """CREATE TRIGGER calendar_entries_deleted AFTER DELETE ON calendar_entries
        REFERENCING OLD TABLE AS oldt FOR EACH STATEMENT EXECUTE FUNCTION calendar_entries_deleted()""",
    """CREATE TRIGGER calendar_entries_updated AFTER UPDATE ON calendar_entries
        REFERENCING OLD TABLE AS oldt NEW TABLE AS newt
        FOR EACH STATEMENT EXECUTE FUNCTION calendar_entries_updated()""",
    """CREATE TRIGGER calendar_access_inserted AFTER INSERT ON calendar_access
        REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_access_written()""",
    """CREATE TRIGGER calendar_access_updated AFTER UPDATE ON calendar_access
        REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_access_written()""",
    """CREATE TRIGGER calendar_access_replaced AFTER UPDATE ON calendar_access
        REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_access_written()""",
    """CREATE TRIGGER calendar_access_deleted AFTER DELETE ON calendar_access
        REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION calendar_access_written()""",
]


def upgrade() -> None:
    for statement in (
        ACCOUNTS, USERS, USERS_EMAIL, CALENDARS, CALENDAR_VERSIONS, CALENDAR_ACCESS, CALENDAR_ACCESS_CALENDAR,
        ACTIVITIES, ACTIVITIES_OWNER, CALENDAR_ENTRIES, CALENDAR_ENTRIES_ACTIVITY, FRAGMENTS,
        FEED_LINKS, FEED_LINKS_NAME, FEED_POLLS, API_KEYS, AUDIT_LOG,
        REVISE_ACTIVITY, REVISE_ACTIVITY_TRIGGER, TOUCH, *TOUCH_TRIGGERS, RAISE_CALENDAR_VERSION,
        CALENDARS_INSERTED, CALENDARS_UPDATED, ACTIVITIES_UPDATED,
        CALENDAR_ENTRIES_INSERTED, CALENDAR_ENTRIES_UPDATED, CALENDAR_ENTRIES_DELETED, CALENDAR_ACCESS_WRITTEN,
        *VERSION_TRIGGERS,
    ):  # fmt: skip
        op.execute(statement)
