"""Walks the served schema: an operation for every root field, with values made from the types of its arguments.

Nothing here names a field, so a field that is added later is walked like the others.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    build_client_schema,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

from api.schema import schema

Path = tuple[str, ...]  # of an argument, or of an input's field: ("where", "userIds")

SERVED: GraphQLSchema = build_client_schema(schema.introspect())  # type: ignore[arg-type]  # it is an introspection
DEEPEST = 6  # fields below fields
CURSORS = ("after", "before")  # their form is the service's own matter
TOMORROW = datetime.now(UTC) + timedelta(days=1)
VALUES: dict[str, Any] = {
    "String": "a text",
    "Int": 1,
    "Float": 1.5,
    "DateTime": TOMORROW.isoformat(),
    "Date": TOMORROW.date().isoformat(),
    "TimeZone": "Europe/Berlin",
    "DateOrDateTime": TOMORROW.date().isoformat(),
    "URL": "https://crm.example/",
    "JSON": {},
}
TEXTS = {  # of a form of their own, by what takes them
    "email": "cy@example.com", "locale": "de", "color": "#4682B4", "url": "https://crm.example/",
    "rule": "FREQ=WEEKLY",
}  # fmt: skip
LATER = {"until": (TOMORROW + timedelta(days=1)).isoformat()}
EXCLUDED = ("startsOn", "endsOn", "dueAt", "dueOn")  # by the times of day that stand beside them


@dataclass(frozen=True, slots=True)
class Filling:
    """What arguments are filled with."""

    given: Mapping[Path, Any]  # in any case
    spare: Mapping[str, str]  # by type: node ids where none is given
    external_id: str  # for texts that are ids: the CRM's own keys
    flag: bool | None = None  # of every Boolean; None: what may be left out is left out


@dataclass(frozen=True)
class Operation:
    """A root field with what can be selected below it; each argument of any field in it is a variable."""

    name: str
    text: str
    variables: Mapping[str, GraphQLArgument] = field(repr=False)

    @property
    def is_query(self) -> bool:
        return self.text.startswith("query")

    @cached_property
    def id_paths(self) -> list[Path]:
        """Where it takes node ids."""
        return self._paths("ID")

    @cached_property
    def flag_paths(self) -> list[Path]:
        return self._paths("Boolean")

    def filled(self, filling: Filling) -> dict[str, Any]:
        """The values of the variables."""
        return _filled_fields((), self.variables, filling, ())

    def _paths(self, scalar: str) -> list[Path]:
        return [path for name, each in self.variables.items() for path in _paths((name,), scalar, each.type, ())]


def root_fields() -> list[str]:
    roots = (SERVED.query_type, SERVED.mutation_type, SERVED.subscription_type)
    return [name for root in roots if root for name in root.fields]


def node_types() -> set[str]:
    node = SERVED.get_type("Node")
    assert is_abstract_type(node)
    return {kind.name for kind in SERVED.get_possible_types(node)}


def reaches_nodes(name: str) -> bool:
    """Whether a root field can answer with objects that have node ids, so with texts of an account."""
    _, root = _root(name)
    return not node_types().isdisjoint(kind.name for kind in _reached(get_named_type(root.type), set()))


@cache
def operations(name: str) -> list[Operation]:
    """Operations on a root field: with all that can be selected, and without the fields that take arguments.

    One of these may refuse what it is asked, and take the rest of the answer with it.
    """
    made = [_operation(name, whole=whole) for whole in (False, True)]
    return made[:1] if made[0].text == made[1].text else made


def _operation(name: str, *, whole: bool) -> Operation:
    kind, root = _root(name)
    variables: dict[str, GraphQLArgument] = {}
    text = _selected((name,), name, root, (), variables, whole=whole)
    declared = ", ".join(f"${variable}: {_variable_type(argument)}" for variable, argument in variables.items())
    return Operation(name, f"{kind} {f'({declared}) ' if declared else ''}{{ {text} }}", variables)


def _root(name: str) -> tuple[str, GraphQLField]:
    roots = {"query": SERVED.query_type, "mutation": SERVED.mutation_type, "subscription": SERVED.subscription_type}
    return next((kind, root.fields[name]) for kind, root in roots.items() if root and name in root.fields)


def _selected(
    path: Path,
    said: str,
    chosen: GraphQLField,
    above: tuple[str, ...],
    variables: dict[str, GraphQLArgument],
    *,
    whole: bool,
) -> str:
    """A field as it stands in a selection, `said` with its alias; its variables are added to those."""
    names = {argument: "_".join((*path[1:], argument)) for argument in chosen.args}
    variables.update({names[argument]: chosen.args[argument] for argument in chosen.args})
    arguments = ", ".join(f"{argument}: ${variable}" for argument, variable in names.items())
    kind = get_named_type(chosen.type)
    below = "" if is_leaf_type(kind) else _selection(path, kind, (*above, kind.name), variables, whole=whole)
    return f"{said}({arguments}){below}" if arguments else f"{said}{below}"


def _selection(
    path: Path, kind: GraphQLNamedType, above: tuple[str, ...], variables: dict[str, GraphQLArgument], *, whole: bool
) -> str:
    """What is selected of a type: not again what the path has come through, and of an abstract type each kind's own."""
    common = {} if isinstance(kind, GraphQLUnionType) else _fields(kind)
    parts = ["__typename"]
    for name, each in common.items():
        if _is_selected(each, above, whole=whole):
            parts.append(_selected((*path, name), name, each, above, variables, whole=whole))
    possible_types = SERVED.get_possible_types(kind) if is_abstract_type(kind) else ()
    names = Counter(name for possible in possible_types for name in possible.fields)
    for possible in possible_types:
        own = {name: each for name, each in possible.fields.items() if name not in common}
        texts = [
            _selected(
                (*path, possible.name, name),
                f"{possible.name}_{name}: {name}" if names[name] > 1 else name,
                each,
                above,
                variables,
                whole=whole,
            )
            for name, each in own.items()
            if _is_selected(each, (*above, possible.name), whole=whole)
        ]
        parts += [f"... on {possible.name} {{ {' '.join(texts)} }}"] if texts else []
    return f" {{ {' '.join(parts)} }}"


def _is_selected(each: GraphQLField, above: tuple[str, ...], *, whole: bool) -> bool:
    kind = get_named_type(each.type)
    if each.args and not whole:
        return False
    return is_leaf_type(kind) or (kind.name not in above and len(above) < DEEPEST)


def _variable_type(argument: GraphQLArgument) -> str:
    """One that has a default may be left out."""
    kind = argument.type
    return str(kind.of_type if isinstance(kind, GraphQLNonNull) and _has_default(argument) else kind)


def _fields(kind: GraphQLNamedType) -> dict[str, GraphQLField]:
    return getattr(kind, "fields", {})


def _reached(kind: GraphQLNamedType, found: set[GraphQLNamedType]) -> set[GraphQLNamedType]:
    if kind not in found and not is_leaf_type(kind):
        found.add(kind)
        for each in _fields(kind).values():
            _reached(get_named_type(each.type), found)
        for possible in SERVED.get_possible_types(kind) if is_abstract_type(kind) else ():
            _reached(possible, found)
    return found


def _paths(path: Path, scalar: str, kind: GraphQLInputType, above: tuple[str, ...]) -> Iterator[Path]:
    """Where an argument takes that scalar."""
    named = get_named_type(kind)
    if named.name == scalar:
        yield path
    elif isinstance(named, GraphQLInputObjectType) and named.name not in above:
        for name, each in named.fields.items():
            yield from _paths((*path, name), scalar, each.type, (*above, named.name))


def _filled_fields(
    path: Path,
    wanted: Mapping[str, GraphQLArgument] | Mapping[str, GraphQLInputField],
    filling: Filling,
    above: tuple[str, ...],
) -> dict[str, Any]:
    return {
        name: _filled((*path, name), each.type, filling, above)
        for name, each in wanted.items()
        if _is_filled((*path, name), each, filling, above)
    }


def _is_filled(path: Path, each: GraphQLArgument | GraphQLInputField, filling: Filling, above: tuple[str, ...]) -> bool:
    if isinstance(each.type, GraphQLNonNull) and not _has_default(each):
        return True
    if any(chosen[: len(path)] == path for chosen in filling.given):
        return True
    is_wanted = filling.flag is not None and path[-1].rpartition("_")[2] not in (*CURSORS, *EXCLUDED)
    return is_wanted and get_named_type(each.type).name not in above


def _has_default(each: GraphQLArgument | GraphQLInputField) -> bool:
    return each.default_value is not Undefined


def _filled(path: Path, kind: GraphQLInputType, filling: Filling, above: tuple[str, ...]) -> Any:
    match kind:
        case GraphQLNonNull():
            return _filled(path, kind.of_type, filling, above)
        case GraphQLList():
            return [_filled(path, kind.of_type, filling, above)]
        case GraphQLEnumType():
            return next(iter(kind.values))
        case GraphQLInputObjectType():
            return _filled_fields(path, kind.fields, filling, (*above, kind.name))
    return _scalar(path, kind.name, filling)


def _scalar(path: Path, kind: str, filling: Filling) -> Any:
    if path in filling.given:
        return filling.given[path]
    if kind == "ID":
        return filling.spare[fitting(path, filling.spare)]
    if kind == "Boolean":
        return filling.flag is not False
    if kind == "String" and path[-1].lower().endswith(("id", "ids")):
        return filling.external_id
    if path[-1] in (TEXTS | LATER):
        return (TEXTS | LATER)[path[-1]]
    if kind not in VALUES:
        raise NotImplementedError(f"{'.'.join(path)}: say in VALUES what a {kind} is filled with")
    return VALUES[kind]


def fitting(path: Path, kinds: Mapping[str, str]) -> str:
    """The type whose ids are meant, by the name of what takes them: "linkIds" → "FeedLink"; else the first."""
    stem = path[-1].rpartition("_")[2].removesuffix("s").removesuffix("Id").lower()
    return next((kind for kind in kinds if kind.lower().endswith(stem)), next(iter(kinds)))
