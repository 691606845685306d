"""Three things that Strawberry and graphql-core do at a price, done otherwise: inputs are read by plans that are made
once, resolvers begin when they are awaited, and long answers let others have their turn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from dataclasses import MISSING, dataclass
from functools import cache, wraps
from inspect import iscoroutinefunction
from time import thread_time
from typing import Any, TypeAlias

import strawberry
from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    get_named_type,
    is_composite_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.arguments import InputContext
from strawberry.types.base import (
    StrawberryList,
    StrawberryMaybe,
    StrawberryObjectDefinition,
    StrawberryOptional,
    has_object_definition,
)
from strawberry.types.lazy_type import LazyType

TURN_SECONDS = 0.02  # of the processor's time, after which others have theirs
AT_ONCE = 100  # items of a list that are never made in several turns

Read: TypeAlias = Callable[[Any], Any] | None  # what makes of a coerced value that of the type; None: it stays as it is


def read_inputs_by_plan(schema: strawberry.Schema) -> None:
    """Make the input classes of what graphql-core has coerced.

    Strawberry finds the name and type of each field out anew for each value, which for 1,000 activities with 20 fields
    takes 0.3 seconds, in which nobody else is answered; this takes 0.03.
    """
    plans = Plans(schema)
    for known in schema.schema_converter.type_map.values():
        if isinstance(known.definition, StrawberryObjectDefinition) and known.definition.is_input:
            known.definition.from_input = plans.read


@dataclass(frozen=True, eq=False)
class Plans:
    """How each input class is read."""

    schema: strawberry.Schema

    def read(self, kind: type, value: Mapping[str, Any], _: InputContext | None = None) -> Any:
        given, fields = self._plan(kind)
        given = dict(given)
        for name, python_name, read in fields:
            if name in value:
                given[python_name] = value[name] if read is None else read(value[name])
        return kind(**given)

    @cache  # noqa: B019  # there is one, for good
    def _plan(self, kind: type) -> tuple[dict[str, None], list[tuple[str, str, Read]]]:
        """The fields that are null if they are not given, and how each field is read."""
        definition: StrawberryObjectDefinition = kind.__strawberry_definition__  # type: ignore[attr-defined]
        nulls = {
            field.python_name: None
            for field in definition.fields
            if field.default_value is MISSING and field.default_factory is MISSING
        }
        name = self.schema.config.name_converter.from_field
        fields = [
            (name(field), field.python_name, self._read(field.resolve_type(type_definition=definition)))
            for field in definition.fields
        ]
        return nulls, fields

    def _read(self, kind: Any) -> Read:
        if isinstance(kind, StrawberryMaybe):
            return _some(self._read(kind.of_type))
        if isinstance(kind, StrawberryOptional):
            return _unless_null(self._read(kind.of_type))
        if isinstance(kind, StrawberryList):
            return _each(self._read(kind.of_type))
        if isinstance(kind, LazyType):
            return self._read(kind.resolve_type())
        return (lambda value: self.read(kind, value)) if has_object_definition(kind) else None


def _some(read: Read) -> Read:
    """Of `Maybe[T | None]`: whether it is given, and what."""
    return strawberry.Some if read is None else (lambda value: strawberry.Some(read(value)))


def _unless_null(read: Read) -> Read:
    return None if read is None else (lambda value: None if value is None else read(value))


def _each(read: Read) -> Read:
    return list if read is None else (lambda values: [read(value) for value in values])


class Execution(StrawberryGraphQLCoreExecutionContext):
    """Makes long lists item by item: an answer of 20,000 values takes half a second, and polls do not wait for it.

    What is made within one turn is made as graphql-core does, so that all that is asked of the database at one level
    of it is one statement; of a longer answer there may be one for each turn.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._turn, self._turn_ends = 0, thread_time() + TURN_SECONDS

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: "GraphQLResolveInfo[Any]",
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        most = 1 if self._is_over() else AT_ONCE
        if isinstance(result, list) and len(result) > most and is_composite_type(get_named_type(return_type)):
            turns = self._in_turns(result)
            result = turns if self.is_async_iterable(turns) else result  # there is no loop in `Schema.execute_sync`
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    async def _in_turns(self, items: list[Any]) -> AsyncIterator[Any]:
        for item in items:
            while self._is_over():
                await self._wait()
            yield item

    def _is_over(self) -> bool:
        return thread_time() > self._turn_ends

    async def _wait(self) -> None:
        """Let others have their turn; of all the lists that wait, the first to come back begins ours again."""
        turn = self._turn
        await asyncio.sleep(0)
        if turn == self._turn:
            self._turn += 1
            self._turn_ends = thread_time() + TURN_SECONDS


def begin_resolvers_late(schema: strawberry.Schema) -> None:
    """Let no coroutine be there before somebody awaits it.

    Where one field fails and takes its object with it, graphql-core leaves the coroutines of the fields beside it to
    the collector, and Python warns of each that nobody awaited it.
    """
    for kind in schema._schema.type_map.values():
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field in kind.fields.values():
                if iscoroutinefunction(field.resolve):
                    field.resolve = _late(field.resolve)


def _late(resolve: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., "Late"]:
    @wraps(resolve)
    def begin(*arguments: Any, **named: Any) -> Late:
        return Late(lambda: resolve(*arguments, **named))

    return begin


@dataclass(frozen=True, slots=True)
class Late:
    begin: Callable[[], Coroutine[Any, Any, Any]]

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.begin().__await__()
