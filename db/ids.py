"""Ids: UUIDs of version 7, made here and not by the database, so that any PostgreSQL from 15 on and any shard do."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new id; later ids sort after earlier ones (RFC 9562, section 5.7)."""
    return uuid7()
