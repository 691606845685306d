"""API keys that end by themselves, and entries of moved rights that say for whom a key acted."""

from alembic import op

revision = "0007"
down_revision = "0006"

API_KEYS_EXPIRY = """
ALTER TABLE api_keys
    ADD COLUMN expires_at timestamptz,
    ADD CONSTRAINT api_keys_expires_check CHECK (isfinite(expires_at))"""

# As before, but for what the actor has to add to the details.
AUDIT_RIGHTS = """
CREATE OR REPLACE FUNCTION audit_rights(account uuid, action text, subject uuid, details jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := coalesce(nullif(current_setting('calendar_feeds.actor', true), ''), '{"type": "OPERATOR"}');
BEGIN
    IF EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = account) THEN
        INSERT INTO audit_log (account_id, id, at, actor_type, actor_id, network, action, subject_id, details)
        VALUES (account, gen_random_uuid(), clock_timestamp(), actor ->> 'type', (actor ->> 'id')::uuid,
                (actor ->> 'network')::cidr, action, subject, details || coalesce(actor -> 'details', '{}'));
    END IF;
END $$"""


def upgrade() -> None:
    op.execute(API_KEYS_EXPIRY)
    op.execute(AUDIT_RIGHTS)
