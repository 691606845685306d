"""Integrators: accounts known by the CRM's own key, and rights that are moved in somebody's name."""

from alembic import op

revision = "0004"
down_revision = "0003"

# All that this release alters or gives a trigger, here and in what follows, at once and before anything else, as in
# 0003: it waits for accounts alone, holding nothing, and where it does not get the others at once it lets go and tries
# again.
LOCK_TABLES = """
DO $$
DECLARE
    usual_timeout text := current_setting('lock_timeout');
BEGIN
    FOR attempt IN 1..100 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '1500ms', true);
            LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE api_keys, feed_polls IN ACCESS EXCLUSIVE MODE NOWAIT;
            LOCK TABLE audit_log, calendars, feed_links IN SHARE ROW EXCLUSIVE MODE NOWAIT;
            LOCK TABLE activities, calendar_entries IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
            PERFORM set_config('lock_timeout', usual_timeout, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(0.3);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables are in use by long transactions; nothing is changed: run `calendar-feeds migrate` again'
        USING ERRCODE = 'lock_not_available';
END $$"""

# Where the CRM's own key of an account stands in bearer tokens. Not unique here, as a key of all accounts cannot be
# distributed by account: the command that adds accounts sees to it, and two of the same open neither.
ACCOUNTS_EXTERNAL_ID = """
ALTER TABLE accounts
    ADD COLUMN external_id text,
    ADD CONSTRAINT accounts_external_id_check CHECK (external_id <> '')"""

# As before, but for the actor: whoever acts for somebody names them for their transaction (`db.audit.name_actor`).
AUDIT_RIGHTS = """
CREATE OR REPLACE FUNCTION audit_rights(account uuid, action text, subject uuid, details jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := coalesce(nullif(current_setting('calendar_feeds.actor', true), ''), '{"type": "OPERATOR"}');
BEGIN
    IF EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = account) THEN
        INSERT INTO audit_log (account_id, id, at, actor_type, actor_id, network, action, subject_id, details)
        VALUES (account, gen_random_uuid(), clock_timestamp(), actor ->> 'type', (actor ->> 'id')::uuid,
                (actor ->> 'network')::cidr, action, subject, details);
    END IF;
END $$"""


def upgrade() -> None:
    op.execute(LOCK_TABLES)
    op.execute(ACCOUNTS_EXTERNAL_ID)
    op.execute(AUDIT_RIGHTS)
