"""The life of a link: grace, pauses and alarms, the account's policy, who polls, and an audit log that only grows."""

from alembic import op

revision = "0003"
down_revision = "0002"

# All that is altered here or given a trigger, at once and before anything else. Polls take feed_links before accounts,
# the API takes accounts and users before feed_links: who holds the one and waits for the other may wait for ever. So
# this waits for feed_links alone, holding nothing, and not for long, as polls queue behind it. Where it does not get
# the others at once, the end of the inner block releases all that it took, and it tries again.
LOCK_TABLES = """
DO $$
DECLARE
    usual_timeout text := current_setting('lock_timeout');
BEGIN
    FOR attempt IN 1..100 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '1500ms', true);
            LOCK TABLE feed_links IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE accounts, feed_polls, audit_log IN ACCESS EXCLUSIVE MODE NOWAIT;
            LOCK TABLE users, calendars, calendar_access IN SHARE ROW EXCLUSIVE MODE NOWAIT;
            PERFORM set_config('lock_timeout', usual_timeout, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(0.3);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables are in use by long transactions; nothing is changed: run `calendar-feeds migrate` again'
        USING ERRCODE = 'lock_not_available';
END $$"""

# What an account allows its users. Null: no limit beyond the service's own.
POLICY = """
ALTER TABLE accounts
    ADD COLUMN feeds_disabled_at timestamptz,
    ADD COLUMN most_links integer,
    ADD COLUMN longest_days integer,
    ADD COLUMN forced_detail text,
    ADD COLUMN allowed_types text[],
    ADD COLUMN pauses_alarmed boolean NOT NULL DEFAULT false,
    ADD COLUMN changed_at timestamptz,
    ADD CONSTRAINT accounts_feeds_disabled_check CHECK (isfinite(feeds_disabled_at)),
    ADD CONSTRAINT accounts_most_links_check CHECK (most_links >= 0),
    ADD CONSTRAINT accounts_longest_days_check CHECK (longest_days BETWEEN 1 AND 36500),
    ADD CONSTRAINT accounts_forced_detail_check CHECK (forced_detail IN ('FULL', 'BUSY')),
    ADD CONSTRAINT accounts_allowed_types_check CHECK (
        cardinality(allowed_types) > 0 AND allowed_types <@ '{MEETING,CALL,TASK}')"""

# Only what a subscriber could see is a change of the account; and its time goes back by no writer's hand.
ACCOUNTS_TOUCH = """
CREATE TRIGGER accounts_touch BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN ((new.suspended_at, new.feeds_disabled_at, new.longest_days, new.forced_detail, new.allowed_types,
           new.changed_at)
          IS DISTINCT FROM (old.suspended_at, old.feeds_disabled_at, old.longest_days, old.forced_detail,
                            old.allowed_types, old.changed_at))
    EXECUTE FUNCTION touch()"""

# `ids` are locked by whoever calls this, in the order in which everybody locks many links: by id. The triggers of the
# schema before updated theirs in no order, and deadlocked with bulk changes; so their functions are replaced.
RESTYLE_LINKS = """
CREATE FUNCTION restyle_links(account uuid, ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE feed_links l SET style_revision = l.style_revision + 1 WHERE l.account_id = account AND l.id = ANY (ids);
END $$"""

# As before, but for the order. Of other people's links only those whose titles hold the name.
USERS_RESTYLED = """
CREATE OR REPLACE FUNCTION users_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, bool_or(n.name <> o.name) AS named,
                    array_agg(n.id) FILTER (WHERE (n.locale, n.time_zone) <> (o.locale, o.time_zone)) AS readers
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE (n.locale, n.time_zone, n.name) <> (o.locale, o.time_zone, o.name) GROUP BY 1 ORDER BY 1 LOOP
        PERFORM restyle_links(r.account_id, ARRAY(
            SELECT l.id FROM feed_links l
             WHERE l.account_id = r.account_id
               AND (l.user_id = ANY (r.readers) OR r.named AND l.options @> '{"title_with": "OWNER"}')
             ORDER BY l.id FOR NO KEY UPDATE));
    END LOOP;
    RETURN NULL;
END $$"""

# As before, but for the order.
CALENDARS_RESTYLED = """
CREATE OR REPLACE FUNCTION calendars_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
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
    FOR r IN SELECT n.account_id, array_agg(n.id) AS ids
               FROM newt n JOIN oldt o ON o.account_id = n.account_id AND o.id = n.id
              WHERE n.name <> o.name GROUP BY 1 ORDER BY 1 LOOP
        PERFORM restyle_links(r.account_id, ARRAY(
            SELECT l.id FROM feed_links l
             WHERE l.account_id = r.account_id AND l.calendar_id = ANY (r.ids)
               AND l.options @> '{"title_with": "CALENDAR"}'
             ORDER BY l.id FOR NO KEY UPDATE));
    END LOOP;
    RETURN NULL;
END $$"""

# As before, but for the order.
CALENDAR_ACCESS_RESTYLED = """
CREATE OR REPLACE FUNCTION calendar_access_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT w.account_id, array_agg(DISTINCT w.user_id) AS ids FROM written w GROUP BY 1 ORDER BY 1 LOOP
        PERFORM restyle_links(r.account_id, ARRAY(
            SELECT l.id FROM feed_links l
             WHERE l.account_id = r.account_id AND l.user_id = ANY (r.ids) AND l.calendar_id IS NULL
             ORDER BY l.id FOR NO KEY UPDATE));
    END LOOP;
    RETURN NULL;
END $$"""

# A level of detail that is forced says something else of every activity, in links that chose another.
ACCOUNTS_RESTYLED = """
CREATE FUNCTION accounts_restyled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.forced_detail AS detail, o.forced_detail AS detail_before
               FROM newt n JOIN oldt o ON o.account_id = n.account_id
              WHERE n.forced_detail IS DISTINCT FROM o.forced_detail ORDER BY 1 LOOP
        PERFORM restyle_links(r.account_id, ARRAY(
            SELECT l.id FROM feed_links l
             WHERE l.account_id = r.account_id
               AND coalesce(r.detail, l.options ->> 'detail', 'FULL')
                   <> coalesce(r.detail_before, l.options ->> 'detail', 'FULL')
             ORDER BY l.id FOR NO KEY UPDATE));
    END LOOP;
    RETURN NULL;
END $$"""

ACCOUNTS_RESTYLED_TRIGGER = """
CREATE TRIGGER accounts_restyled AFTER UPDATE ON accounts
    REFERENCING OLD TABLE AS oldt NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION accounts_restyled()"""

# grace_until: until when grace_generation, one before the present one, still serves, and the key it was signed with.
# request_id: which call reset the link last, so that the same call again does nothing.
LINKS = """
ALTER TABLE feed_links
    ADD COLUMN grace_until timestamptz,
    ADD COLUMN grace_key_id text,
    ADD COLUMN grace_generation integer,
    ADD COLUMN paused_by text,
    ADD COLUMN expires_by text,
    ADD COLUMN alarmed_at timestamptz,
    ADD COLUMN alarm_cleared_at timestamptz,
    ADD COLUMN request_id text,
    ADD CONSTRAINT feed_links_grace_check CHECK (
        isfinite(grace_until) AND num_nulls(grace_until, grace_key_id, grace_generation) IN (0, 3)),
    ADD CONSTRAINT feed_links_paused_by_check CHECK (paused_by IN ('OWNER', 'ADMINISTRATOR', 'ALARM')),
    ADD CONSTRAINT feed_links_expires_by_check CHECK (expires_by IN ('OWNER', 'ADMINISTRATOR')),
    ADD CONSTRAINT feed_links_alarm_check CHECK (isfinite(alarmed_at) AND isfinite(alarm_cleared_at)),
    ADD CONSTRAINT feed_links_request_check CHECK (char_length(request_id) <= 100)"""

# Nothing wrote the table of the first schema.
POLLS_DROPPED = "DROP TABLE feed_polls"

# usual_seconds: a moving average of the time between two polls of the client; null until there was a second one.
POLLS = """
CREATE TABLE feed_polls (
    account_id      uuid        NOT NULL,
    link_id         uuid        NOT NULL,
    client          text        NOT NULL,
    first_polled_at timestamptz NOT NULL,
    last_polled_at  timestamptz NOT NULL,
    polls           bigint      NOT NULL,
    last_status     integer     NOT NULL,
    last_answer     text        NOT NULL,
    usual_seconds   integer,
    CONSTRAINT feed_polls_pkey PRIMARY KEY (account_id, link_id, client),
    CONSTRAINT feed_polls_link_fkey FOREIGN KEY (account_id, link_id)
        REFERENCES feed_links (account_id, id) ON DELETE CASCADE,
    CONSTRAINT feed_polls_answer_check CHECK (
        last_answer IN ('CALENDAR', 'UNCHANGED', 'NOTICE', 'GONE', 'LIMITED', 'UNAVAILABLE'))
)"""

# Where the polls came from that were given the calendar, as a network and for some days only.
NETWORKS = """
CREATE TABLE feed_networks (
    account_id      uuid        NOT NULL,
    link_id         uuid        NOT NULL,
    client          text        NOT NULL,
    network         cidr        NOT NULL,
    first_polled_at timestamptz NOT NULL,
    last_polled_at  timestamptz NOT NULL,
    CONSTRAINT feed_networks_pkey PRIMARY KEY (account_id, link_id, client, network),
    CONSTRAINT feed_networks_link_fkey FOREIGN KEY (account_id, link_id)
        REFERENCES feed_links (account_id, id) ON DELETE CASCADE
)"""

NETWORKS_LAST = "CREATE INDEX feed_networks_last_idx ON feed_networks (account_id, last_polled_at)"

AUDIT = """
ALTER TABLE audit_log
    ADD COLUMN actor_type text NOT NULL DEFAULT 'USER',
    ADD COLUMN outcome text NOT NULL DEFAULT 'DONE',
    ALTER COLUMN subject_id DROP NOT NULL,
    ADD CONSTRAINT audit_log_actor_type_check CHECK (actor_type IN ('USER', 'KEY', 'OPERATOR', 'SERVICE')),
    ADD CONSTRAINT audit_log_outcome_check CHECK (outcome IN ('DONE', 'REFUSED'))"""
AUDIT_OPERATORS = "UPDATE audit_log g SET actor_type = 'OPERATOR' WHERE g.actor_id IS NULL"
AUDIT_AT = "CREATE INDEX audit_log_at_idx ON audit_log (account_id, at, id)"

# Whoever writes, by whatever path; only an account that is deleted takes its entries with it.
KEEP_AUDIT_LOG = """
CREATE FUNCTION keep_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = old.account_id) THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'audit_log only grows: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$"""

KEEP_AUDIT_LOG_TRIGGERS = [
    """CREATE TRIGGER audit_log_kept BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION keep_audit_log()""",
    """CREATE TRIGGER audit_log_kept_whole BEFORE TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_log()""",
]

# What moves somebody's rights is in the audit log whoever writes it: `subject` is whose they are. Nothing is written
# for an account that is being deleted.
AUDIT_RIGHTS = """
CREATE FUNCTION audit_rights(account uuid, action text, subject uuid, details jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = account) THEN
        INSERT INTO audit_log (account_id, id, at, actor_type, action, subject_id, details)
        VALUES (account, gen_random_uuid(), clock_timestamp(), 'OPERATOR', action, subject, details);
    END IF;
END $$"""

AUDIT_ACCESS = """
CREATE FUNCTION audit_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (new.calendar_id, new.user_id, new.withdrawn_at IS NULL)
                          = (old.calendar_id, old.user_id, old.withdrawn_at IS NULL) THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' AND old.withdrawn_at IS NULL THEN
        PERFORM audit_rights(old.account_id, 'ACCESS_WITHDRAWN', old.user_id,
                             jsonb_build_object('calendar', old.calendar_id));
    END IF;
    IF TG_OP <> 'DELETE' AND new.withdrawn_at IS NULL THEN
        PERFORM audit_rights(new.account_id, 'ACCESS_GRANTED', new.user_id,
                             jsonb_build_object('calendar', new.calendar_id));
    END IF;
    RETURN NULL;
END $$"""

AUDIT_USERS = """
CREATE FUNCTION audit_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM audit_rights(old.account_id, 'USER_DELETED', old.id, '{}');
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND (new.deactivated_at IS NULL) <> (old.deactivated_at IS NULL) THEN
        PERFORM audit_rights(new.account_id,
            CASE WHEN new.deactivated_at IS NULL THEN 'USER_REACTIVATED' ELSE 'USER_DEACTIVATED' END, new.id, '{}');
    END IF;
    IF new.administrator <> (TG_OP = 'UPDATE' AND old.administrator) THEN
        PERFORM audit_rights(new.account_id,
            CASE WHEN new.administrator THEN 'ADMINISTRATOR_APPOINTED' ELSE 'ADMINISTRATOR_REMOVED' END, new.id, '{}');
    END IF;
    RETURN NULL;
END $$"""

AUDIT_ACCOUNTS = """
CREATE FUNCTION audit_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (new.suspended_at IS NULL) <> (old.suspended_at IS NULL) THEN
        PERFORM audit_rights(new.account_id,
            CASE WHEN new.suspended_at IS NULL THEN 'ACCOUNT_RESUMED' ELSE 'ACCOUNT_SUSPENDED' END,
            new.account_id, '{}');
    END IF;
    RETURN NULL;
END $$"""

AUDIT_CALENDARS = """
CREATE FUNCTION audit_calendars() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (new.deleted_at IS NULL) <> (old.deleted_at IS NULL) THEN
        PERFORM audit_rights(new.account_id,
            CASE WHEN new.deleted_at IS NULL THEN 'CALENDAR_RESTORED' ELSE 'CALENDAR_DELETED' END, new.id, '{}');
    END IF;
    RETURN NULL;
END $$"""

AUDIT_TRIGGERS = [
    """CREATE TRIGGER calendar_access_audited AFTER INSERT OR UPDATE OR DELETE ON calendar_access
        FOR EACH ROW EXECUTE FUNCTION audit_access()""",
    """CREATE TRIGGER users_audited AFTER INSERT OR UPDATE OR DELETE ON users
        FOR EACH ROW EXECUTE FUNCTION audit_users()""",
    "CREATE TRIGGER accounts_audited AFTER UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION audit_accounts()",
    "CREATE TRIGGER calendars_audited AFTER UPDATE ON calendars FOR EACH ROW EXECUTE FUNCTION audit_calendars()",
]


def upgrade() -> None:
    for statement in (
        LOCK_TABLES, POLICY, ACCOUNTS_TOUCH, LINKS,
        RESTYLE_LINKS, USERS_RESTYLED, CALENDARS_RESTYLED, CALENDAR_ACCESS_RESTYLED,
        ACCOUNTS_RESTYLED, ACCOUNTS_RESTYLED_TRIGGER,
        POLLS_DROPPED, POLLS, NETWORKS, NETWORKS_LAST,
        AUDIT, AUDIT_OPERATORS, AUDIT_AT, KEEP_AUDIT_LOG, *KEEP_AUDIT_LOG_TRIGGERS,
        AUDIT_RIGHTS, AUDIT_ACCESS, AUDIT_USERS, AUDIT_ACCOUNTS, AUDIT_CALENDARS, *AUDIT_TRIGGERS,
    ):  # fmt: skip
        op.execute(statement)
