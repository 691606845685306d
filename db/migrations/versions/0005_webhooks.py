"""Webhooks: whom an account wants to be told of what, and the queue of what is to be delivered.

What happened is put into the queue by triggers, in the transaction in which it happens: whoever changes links is heard,
and what was rolled back is told to nobody. The tables that are changed here are locked by 0004, of the same release.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

# The secret of a webhook is derived from its key, like the URL of a link; a new generation is a new secret. One that
# was removed is disabled, too, and kept for some days, so that removing it again is no mistake.
WEBHOOKS = """
CREATE TABLE webhooks (
    account_id  uuid        NOT NULL,
    id          uuid        NOT NULL,
    url         text        NOT NULL,
    events      text[]      NOT NULL,
    description text        NOT NULL DEFAULT '',
    key_id      text        NOT NULL,
    generation  integer     NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz,
    removed_at  timestamptz,
    CONSTRAINT webhooks_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT webhooks_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (account_id) ON DELETE CASCADE,
    CONSTRAINT webhooks_url_check CHECK (url ~ '^https?://' AND char_length(url) <= 2000),
    CONSTRAINT webhooks_events_check CHECK (
        cardinality(events) > 0
        AND events <@ '{link.generated,link.reset,link.revoked,client.first_polled,client.stale}'),
    CONSTRAINT webhooks_description_check CHECK (char_length(description) <= 200),
    CONSTRAINT webhooks_generation_check CHECK (generation > 0),
    CONSTRAINT webhooks_end_check CHECK (
        isfinite(disabled_at) AND isfinite(removed_at) AND (removed_at IS NULL OR disabled_at IS NOT NULL))
)"""

# created_at: when it happened. next_attempt_at: null once it was delivered or given up; while it is being sent, when it
# is to be sent again if nothing is heard of that.
DELIVERIES = """
CREATE TABLE webhook_deliveries (
    account_id      uuid        NOT NULL,
    id              uuid        NOT NULL,
    webhook_id      uuid        NOT NULL,
    event           text        NOT NULL,
    facts           jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    delivered_at    timestamptz,
    last_status     integer,
    last_error      text,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (account_id, id),
    CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (account_id, webhook_id)
        REFERENCES webhooks (account_id, id) ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_event_check CHECK (event IN (
        'link.generated', 'link.reset', 'link.revoked', 'client.first_polled', 'client.stale', 'webhook.test')),
    CONSTRAINT webhook_deliveries_facts_check CHECK (jsonb_typeof(facts) = 'object'),
    CONSTRAINT webhook_deliveries_done_check CHECK (delivered_at IS NULL OR next_attempt_at IS NULL),
    CONSTRAINT webhook_deliveries_error_check CHECK (last_error IN (
        'STATUS', 'TIMEOUT', 'UNREACHABLE', 'TLS', 'ADDRESS_FORBIDDEN', 'NO_KEY'))
)"""

DELIVERIES_CREATED = """
CREATE INDEX webhook_deliveries_created_idx ON webhook_deliveries (account_id, webhook_id, created_at, id)"""
DELIVERIES_DUE = """
CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (account_id, webhook_id, next_attempt_at, id)
    WHERE next_attempt_at IS NOT NULL"""

# The webhooks are locked against their removal, or a foreign key would fail the transaction that tells of itself.
ANNOUNCE = """
CREATE FUNCTION announce(account uuid, what text, moment timestamptz, link_ids uuid[], more jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM webhooks w
                    WHERE w.account_id = account AND w.disabled_at IS NULL AND what = ANY (w.events)) THEN
        RETURN;
    END IF;
    INSERT INTO webhook_deliveries (account_id, id, webhook_id, event, facts, created_at, next_attempt_at)
    SELECT account, gen_random_uuid(), h.id, what, f.facts || more, moment, moment
      FROM (SELECT w.id FROM webhooks w
             WHERE w.account_id = account AND w.disabled_at IS NULL AND what = ANY (w.events)
             ORDER BY w.id FOR KEY SHARE) h
     CROSS JOIN (
           SELECT jsonb_build_object(
                      'link_id', l.id, 'link_name', l.name, 'user_id', l.user_id, 'user_external_id', u.external_id,
                      'calendar_id', l.calendar_id, 'calendar_external_id', c.external_id) AS facts
             FROM feed_links l
             JOIN users u ON u.account_id = account AND u.id = l.user_id
             LEFT JOIN calendars c ON c.account_id = account AND c.id = l.calendar_id
            WHERE l.account_id = account AND l.id = ANY (link_ids)) f;
END $$"""

ANNOUNCE_LINKS = """
CREATE FUNCTION announce_links() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT n.account_id, n.at, n.actor_type, lower(replace(n.action, '_', '.')) AS what,
                    array_agg(n.subject_id) AS ids
               FROM newt n
              WHERE n.outcome = 'DONE' AND n.action IN ('LINK_GENERATED', 'LINK_RESET', 'LINK_REVOKED')
              GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LOOP
        PERFORM announce(r.account_id, r.what, r.at, r.ids, jsonb_build_object('actor_type', r.actor_type));
    END LOOP;
    RETURN NULL;
END $$"""

ANNOUNCE_LINKS_TRIGGER = """
CREATE TRIGGER audit_log_announced AFTER INSERT ON audit_log
    REFERENCING NEW TABLE AS newt FOR EACH STATEMENT EXECUTE FUNCTION announce_links()"""

# first_served_at: when the client was first given the calendar. Clients that are known by now are no news, so theirs
# is long ago; the release before leaves it null, which is then told when the client polls next.
POLLS_FIRST = "ALTER TABLE feed_polls ADD COLUMN first_served_at timestamptz DEFAULT '-infinity'"
POLLS_FIRST_UNKNOWN = "ALTER TABLE feed_polls ALTER COLUMN first_served_at DROP DEFAULT"
# silent_since: the last poll of the client, if it was noted that it has gone stale after that one.
POLLS_SILENT = "ALTER TABLE feed_polls ADD COLUMN silent_since timestamptz"
POLLS_SILENT_KNOWN = """
UPDATE feed_polls p SET silent_since = p.last_polled_at
 WHERE p.last_polled_at < clock_timestamp() - interval '2 days'"""

ANNOUNCE_FIRST_POLL = """
CREATE FUNCTION announce_first_poll() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(new.account_id, 'client.first_polled', new.first_served_at, ARRAY[new.link_id],
                     jsonb_build_object('client', new.client));
    RETURN NULL;
END $$"""

ANNOUNCE_STALE = """
CREATE FUNCTION announce_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(new.account_id, 'client.stale', clock_timestamp(), ARRAY[new.link_id],
                     jsonb_build_object('client', new.client, 'last_polled_at', new.last_polled_at));
    RETURN NULL;
END $$"""

ANNOUNCE_CLIENTS_TRIGGERS = [
    """CREATE TRIGGER feed_polls_inserted AFTER INSERT ON feed_polls FOR EACH ROW
        WHEN (new.first_served_at IS NOT NULL) EXECUTE FUNCTION announce_first_poll()""",
    """CREATE TRIGGER feed_polls_served AFTER UPDATE ON feed_polls FOR EACH ROW
        WHEN (old.first_served_at IS NULL AND new.first_served_at IS NOT NULL)
        EXECUTE FUNCTION announce_first_poll()""",
    """CREATE TRIGGER feed_polls_silent AFTER UPDATE ON feed_polls FOR EACH ROW
        WHEN (new.silent_since IS DISTINCT FROM old.silent_since AND new.silent_since IS NOT NULL)
        EXECUTE FUNCTION announce_stale()""",
]


def upgrade() -> None:
    for statement in (
        WEBHOOKS, DELIVERIES, DELIVERIES_CREATED, DELIVERIES_DUE,
        POLLS_FIRST, POLLS_FIRST_UNKNOWN, POLLS_SILENT, POLLS_SILENT_KNOWN,
        ANNOUNCE, ANNOUNCE_LINKS, ANNOUNCE_LINKS_TRIGGER,
        ANNOUNCE_FIRST_POLL, ANNOUNCE_STALE, *ANNOUNCE_CLIENTS_TRIGGERS,
    ):  # fmt: skip
        op.execute(statement)
