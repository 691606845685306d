"""Node ids, and pages of lists: forward connections with keyset cursors."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

import strawberry
from strawberry import relay

from api.errors import InvalidArgument

PAGE, LONGEST_PAGE = 50, 500
First = Annotated[int | None, strawberry.argument(description=f"So many at the most, from 1 to {LONGEST_PAGE}.")]
After = Annotated[str | None, strawberry.argument(description="The cursor after which to go on: `pageInfo.endCursor`.")]
CURSOR = "Cursor"
FOREIGN_CURSOR = "after: give a cursor that this list gave you."

Row = TypeVar("Row")
NodeType = TypeVar("NodeType")


def node_uuid(node_id: str, type_name: str) -> UUID | None:
    """The UUID in a node id of that type; None if it is not one: that and an unknown id are the same to the caller."""
    found = named_uuid(node_id)
    return found[1] if found and found[0] == type_name else None


def named_uuid(node_id: str) -> tuple[str, UUID] | None:
    """The type and the UUID in a node id; None if it is not one."""
    try:
        type_name, value = relay.from_base64(node_id)
        return type_name, UUID(value)
    except ValueError:
        return None


def page_size(first: int | None) -> int:
    size = PAGE if first is None else first
    if not 1 <= size <= LONGEST_PAGE:
        raise InvalidArgument(f"first: give a number from 1 to {LONGEST_PAGE}.")
    return size


def cursor_text(after: str | None) -> str | None:
    """What `connection` put into the cursor."""
    if after is None:
        return None
    try:
        kind, text = relay.from_base64(after)
    except ValueError:
        kind, text = "", ""
    if kind != CURSOR:
        raise InvalidArgument("after: give a cursor that the API gave you.")
    return text


def cursor_id(after: str | None) -> UUID | None:
    """The id in the cursor of a list that goes by id."""
    text = cursor_text(after)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidArgument(FOREIGN_CURSOR) from None


def cursor_moment(after: str | None) -> tuple[datetime, UUID] | None:
    """The time and the id in the cursor of a list that goes by both."""
    text = cursor_text(after)
    if text is None:
        return None
    at, _, id_ = text.partition(" ")
    try:
        return datetime.fromisoformat(at).astimezone(UTC), UUID(id_)
    except (ValueError, OverflowError):
        raise InvalidArgument(FOREIGN_CURSOR) from None


class HasId(Protocol):
    @property
    def id(self) -> UUID: ...


def id_of(row: HasId) -> str:
    """The place of a row in a list that goes by id."""
    return str(row.id)


def moment_of(at: datetime, row: HasId) -> str:
    """The place of a row in a list that goes by that time and id."""
    return f"{at.isoformat()} {row.id}"


def connection(
    rows: Sequence[Row], size: int, make: Callable[[Row], NodeType], place: Callable[[Row], str], *, after: bool
) -> Any:
    """A page of `size`, made from rows of which there is one more if there is a next page."""
    edges = [
        relay.Edge(cursor=relay.to_base64(CURSOR, place(row)), node=make(row))  # type: ignore[type-var]  # every node is one
        for row in rows[:size]
    ]
    page_info = relay.PageInfo(
        has_next_page=len(rows) > size,
        has_previous_page=after,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return relay.Connection(edges=edges, page_info=page_info)
