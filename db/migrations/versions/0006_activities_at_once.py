"""Many activities at once: what changed, and what stands elsewhere too, is found without comparing each with each.

PostgreSQL guesses transition tables small, whatever they hold, and joins them by comparing each row of one with each of
the other: 200 ms for 1,000 activities, 20 s for 10,000. So the triggers count and subtract, and join nothing.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

# As before, but for the join.
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
        FOR r IN SELECT DISTINCT e.calendar_id FROM calendar_entries e
                  WHERE e.account_id = a.account_id AND e.activity_id = ANY (a.ids) ORDER BY 1 LOOP
            PERFORM raise_calendar_version(a.account_id, r.calendar_id);
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$"""

# As before, but for the join: an activity that was put somewhere stood elsewhere before if it has more entries than
# were written now, one that was taken out stands elsewhere if it has any.
CALENDAR_ENTRIES_PLACED = """
CREATE OR REPLACE FUNCTION calendar_entries_placed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    r record;
    placed uuid[];
BEGIN
    FOR r IN SELECT w.account_id, array_agg(w.activity_id) AS ids FROM written w GROUP BY 1 ORDER BY 1 LOOP
        PERFORM 1 FROM activities a WHERE a.account_id = r.account_id AND a.id = ANY (r.ids) ORDER BY a.id
            FOR NO KEY UPDATE;
    END LOOP;
    FOR r IN SELECT w.account_id, array_agg(w.activity_id) AS ids FROM written w GROUP BY 1 ORDER BY 1 LOOP
        SELECT array_agg(s.id) INTO placed
          FROM (SELECT b.id
                  FROM (SELECT e.activity_id AS id, 1 AS n FROM calendar_entries e
                         WHERE e.account_id = r.account_id AND e.activity_id = ANY (r.ids)
                        UNION ALL
                        SELECT u.id, CASE TG_OP WHEN 'INSERT' THEN -1 WHEN 'UPDATE' THEN 1 ELSE 0 END
                          FROM unnest(r.ids) AS u (id)) b
                 GROUP BY b.id HAVING sum(b.n) > 0) s;
        PERFORM place_activities(r.account_id, placed);
    END LOOP;
    RETURN NULL;
END $$"""

# With statistics PostgreSQL takes an account that is not in them for one without rows, and any index that begins with
# the account for as good as the right one: what looks 1,000 activities up reads all of the account 1,000 times. Without
# them it takes every account for a two-hundredth of the table.
NO_STATISTICS = [
    f"ALTER TABLE {table} ALTER COLUMN account_id SET STATISTICS 0" for table in ("activities", "calendar_entries")
]


def upgrade() -> None:
    for statement in (ACTIVITIES_UPDATED, CALENDAR_ENTRIES_PLACED, *NO_STATISTICS):
        op.execute(statement)
