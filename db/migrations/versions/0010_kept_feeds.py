"""Large feeds as they were assembled: so that a process that has just started serves one without reading its rows."""

from alembic import op

revision = "0010"
down_revision = "0009"

# For the foreign key: writers of links wait for it, polls do not. Where earlier migrations run in the same transaction,
# 0004 has locked it already.
LOCK_LINKS = "LOCK TABLE feed_links IN SHARE ROW EXCLUSIVE MODE"

# fingerprint: what the feed was made with; the row of another one is of no use. day: the one that it was made for.
# calendar_*: the versions of the calendars that it holds. activity_ids, sizes, events: its components by their ids, the
# octets of each, and how many events it is. counts, lengths: its blocks, how many components each has, and how many
# octets of deflated, in which they stand one after the other. The types are those that the gate has, too: for arrays of
# any other the driver asks the database first, 10 ms on each new connection.
KEPT_FEEDS = """
CREATE TABLE kept_feeds (
    account_id        uuid          NOT NULL,
    link_id           uuid          NOT NULL,
    fingerprint       bytea         NOT NULL,
    day               date          NOT NULL,
    calendar_ids      uuid[]        NOT NULL,
    calendar_versions bigint[]      NOT NULL,
    calendar_times    timestamptz[] NOT NULL,
    activity_ids      uuid[]        NOT NULL,
    sizes             bigint[]      NOT NULL,
    events            bigint[]      NOT NULL,
    counts            bigint[]      NOT NULL,
    lengths           bigint[]      NOT NULL,
    deflated          bytea         NOT NULL,
    CONSTRAINT kept_feeds_pkey PRIMARY KEY (account_id, link_id),
    CONSTRAINT kept_feeds_link_fkey FOREIGN KEY (account_id, link_id)
        REFERENCES feed_links (account_id, id) ON DELETE CASCADE,
    CONSTRAINT kept_feeds_calendars_check CHECK (
        cardinality(calendar_versions) = cardinality(calendar_ids)
        AND cardinality(calendar_times) = cardinality(calendar_ids)),
    CONSTRAINT kept_feeds_components_check CHECK (
        cardinality(sizes) = cardinality(activity_ids) AND cardinality(events) = cardinality(activity_ids)),
    CONSTRAINT kept_feeds_blocks_check CHECK (cardinality(lengths) = cardinality(counts))
)"""

# What is compressed already, and what hardly can be, PostgreSQL need not try to.
NOT_COMPRESSED = [
    f"ALTER TABLE kept_feeds ALTER COLUMN {column} SET STORAGE EXTERNAL" for column in ("activity_ids", "deflated")
]


def upgrade() -> None:
    for statement in (LOCK_LINKS, KEPT_FEEDS, *NOT_COMPRESSED):
        op.execute(statement)
