"""What upserts have in common: how many items there may be, how one is read, what becomes of it, and the counts."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import strawberry
from strawberry.utils.str_converters import to_camel_case

from api.errors import InvalidArgument, ItemRepeated, Refused, TooManyItems, UserError, ValueInvalid
from api.texts import external_id_error, text_error

MOST_ITEMS = 1_000
MOST_ERRORS = 1_000  # of an answer; beyond that only the first of each item is told
LONGEST_NAME = 255
LINE_OR_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
UPSERTED = (
    f"At most {MOST_ITEMS:,}. All of them are written or none, and what is the same already is left untouched:"
    " the same call may be sent again."
)

Record = TypeVar("Record")
Check = Callable[..., UserError | None]  # of the name of a field, its value, and the path to it


@strawberry.type
class UpsertPayload:
    """What the payloads of upserts have in common; not a type of the schema."""

    created: int = strawberry.field(default=0, description="How many items were new.")
    updated: int = strawberry.field(default=0, description="How many were there, and say something else now.")
    unchanged: int = strawberry.field(default=0, description="How many were the same already, and are untouched.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend in which item; then nothing was changed."
    )


def given(description: str) -> Any:
    """A field of an input that may be left out (`strawberry.Maybe`)."""
    return strawberry.field(default=None, description=description)


@dataclass(frozen=True, slots=True)
class Item:
    """What an item says, by the names of the record, as far as it can be used; `errors` tell what cannot."""

    external_id: str
    path: tuple[str, ...]  # to the item
    said: Mapping[str, Any]
    is_named: bool  # whether it says anything of the name
    errors: Sequence[UserError]

    @property
    def place(self) -> str:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class Write(Generic[Record]):
    """What an item changes: what was there before it, None if nothing was, and what is to be there after it."""

    item: Item
    before: Record | None
    after: Record

    @property
    def is_change(self) -> bool:
        return self.after != self.before


def check_count(items: Sequence[object], most: int, of: str, *path: str) -> None:
    """Refuse more than so many items, of which nothing else is looked at then."""
    if len(items) > most:
        message = f"Send at most {most:,} {of} in one call, these are {len(items):,}: make several calls of them."
        raise Refused(TooManyItems(message=message, path=list(path)))


def read_items(
    inputs: Sequence[Any], of: str, fields: Sequence[str], cleared: Mapping[str, Any], check: Check
) -> list[Item]:
    """The items of the list `of`, by their optional fields; `cleared` is what null stands for where it may be said."""
    return [_read(input_, (of, str(place)), fields, cleared, check) for place, input_ in enumerate(inputs)]


def _read(input_: Any, path: tuple[str, ...], fields: Sequence[str], cleared: Mapping[str, Any], check: Check) -> Item:
    said: dict[str, Any] = {}
    errors: list[UserError] = []
    for name in fields:
        if (maybe := getattr(input_, name)) is None:
            continue
        there = (*path, to_camel_case(name))
        if maybe.value is not None and (error := check(name, maybe.value, *there)):
            errors.append(error)
        elif maybe.value is None and name not in cleared:
            errors.append(ValueInvalid(message="Give a value, or leave it out: it cannot be cleared.", path=[*there]))
        else:
            said[name] = cleared[name] if maybe.value is None else maybe.value
    return Item(input_.external_id, path, said, input_.name is not None, errors)


def id_errors(external_ids: Sequence[str], of: str, key: str = "externalId") -> Iterator[UserError]:
    """What is wrong with the ids of the items of the list `of`, where each has its id as `key`."""
    first: dict[str, int] = {}
    for place, external_id in enumerate(external_ids):
        if error := external_id_error(external_id, of, str(place), key):
            yield error
        elif (earlier := first.setdefault(external_id, place)) != place:
            message = f"Item {earlier} has this id already: send one of the two."
            yield ItemRepeated(message=message, path=[of, str(place), key])


def refuse(errors: Iterable[UserError]) -> None:
    """Refuse the call if anything is wrong with its items, told item by item."""
    told = sorted(errors, key=_place)
    if len(told) > MOST_ERRORS:
        firsts = {_place(error): error for error in reversed(told)}
        told = [firsts[place] for place in sorted(firsts)]
    if told:
        raise Refused(*told)


def _place(error: UserError) -> int:
    """Of the item that it is about; what is about the whole input goes first."""
    return int(error.path[1]) if len(error.path) > 1 else -1


def item_errors(items: Sequence[Item], writes: Sequence[Write[Any]]) -> list[UserError]:
    """What is wrong with each item by itself."""
    errors = [*id_errors([item.external_id for item in items], items[0].path[0])] if items else []
    errors += [error for item in items for error in item.errors]
    nameless = [write.item for write in writes if write.before is None and not write.item.is_named]
    message = "Give a name: nothing with this id is there yet."
    return errors + [ValueInvalid(message=message, path=[*item.path, "name"]) for item in nameless]


def filter_ids(external_ids: Sequence[str] | None) -> list[str] | None:
    """The ids of a filter; those that are none match nothing."""
    if external_ids is None:
        return None
    if len(external_ids) > MOST_ITEMS:
        raise InvalidArgument(f"where.externalIds: name at most {MOST_ITEMS:,}.")
    return [external_id for external_id in external_ids if not external_id_error(external_id)]


def name_error(value: str, *path: str) -> UserError | None:
    """Why the text is no name of somebody or something."""
    if error := text_error(value, LONGEST_NAME, *path):
        return error
    if value.strip() and not LINE_OR_CONTROL.search(value):
        return None
    message = (
        f"Give a name of 1 to {LONGEST_NAME} characters, not all blank, without line breaks or control characters."
    )
    return ValueInvalid(message=message, path=list(path))


def counts(writes: Sequence[Write[Any]]) -> dict[str, Any]:
    """How many items were created, updated and left unchanged."""
    changes = [write for write in writes if write.is_change]
    created = sum(write.before is None for write in changes)
    return {"created": created, "updated": len(changes) - created, "unchanged": len(writes) - len(changes)}
