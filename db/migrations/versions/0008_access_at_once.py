"""Access of many users at once: what they may see is part of them, and is noted with all of them in one statement."""

from alembic import op

revision = "0008"
down_revision = "0007"

# As before, but for a statement for each user, which made 20,000 of them out of one.
CALENDAR_ACCESS_WRITTEN = """
CREATE OR REPLACE FUNCTION calendar_access_written() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
    moment timestamptz := clock_timestamp();
BEGIN
    FOR r IN SELECT w.account_id, array_agg(DISTINCT w.user_id) AS ids FROM written w GROUP BY 1 ORDER BY 1 LOOP
        PERFORM 1 FROM users u WHERE u.account_id = r.account_id AND u.id = ANY (r.ids) ORDER BY u.id
            FOR NO KEY UPDATE;
        UPDATE users u SET changed_at = moment WHERE u.account_id = r.account_id AND u.id = ANY (r.ids);
    END LOOP;
    RETURN NULL;
END $$"""

# It joins both transition tables by a plan that was made when they were small: each row of one with each of the other.
USERS_RESTYLED = "ALTER FUNCTION users_restyled() SET enable_nestloop = off"


def upgrade() -> None:
    op.execute(CALENDAR_ACCESS_WRITTEN)
    op.execute(USERS_RESTYLED)
