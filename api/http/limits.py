"""How much a query may ask for: told in linear time, before anything looks at it that takes longer.

Characters and tokens bound what it takes to read a query, the number of its parts what it takes to validate it, and its
cost what comes then: how many values the answer may have, as far as the query tells.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
    specified_rules,
    validate,
)
from strawberry.extensions import ParserCache
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from api.errors import InvalidQuery, QueryTooComplex
from api.nodes import LONGEST_PAGE, PAGE

MOST_CHARACTERS = 50_000
MOST_TOKENS = 2_000
MOST = {
    "operations": 20,
    "fragments": 50,
    "aliases": 50,
    "directives": 50,
    "fields of one name beside each other": 10,  # to merge them takes the square of it
    "root fields": 20,  # each is a transaction
    "levels": 30,  # of selections, those of fragments too
    "cost": 100_000,
}
MOST_MISTAKES = 20  # that are told of a query
KEPT = 64  # queries that stay parsed, and validated, in each process

INTROSPECTED = 5  # times what the same number of other values costs, as anybody may ask
LISTED = 5  # items that a list is thought to have
# What a field costs if not 1, which is a value that lies ready: some 10 µs.
COSTS = {"CalendarFeed.preview": 500, "FeedLink.preview": 500, "FeedLink.qrCodeSvg": 150}

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)  # as Strawberry has them

Fragments: TypeAlias = Mapping[str, FragmentDefinitionNode]
Selections: TypeAlias = Sequence[SelectionNode]


class QueryLimits(ParserCache):
    """Refuses what is beyond the limits; what was asked before is neither parsed nor validated again."""

    def __init__(self) -> None:
        super().__init__(KEPT)

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_parse(self) -> Iterator[None]:
        if len(self.execution_context.query or "") > MOST_CHARACTERS:
            raise QueryTooComplex(f"The query is too complex: more than {MOST_CHARACTERS:,} characters.")
        try:
            yield from super().on_parse()
        except GraphQLSyntaxError as exc:
            if "contains more than" not in exc.message:
                raise
            raise QueryTooComplex(f"The query is too complex: more than {MOST_TOKENS:,} tokens.") from None

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        assert context.graphql_document is not None
        if context._provided_operation_name is None and _operations(context.graphql_document)[1:]:
            raise InvalidQuery("The query has several operations: say which one by operationName.")
        check_document(context.schema._schema, context.graphql_document, context.variables or {})
        context.pre_execution_errors = validated(context.schema._schema, context.graphql_document)
        yield


@lru_cache(KEPT)
def validated(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    """What is wrong with the document; not all of it, as each error may repeat half of the query."""
    return validate(schema, document, RULES, MOST_MISTAKES)


def check_document(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> None:
    """Raise `QueryTooComplex` if the document, which need not be valid, is beyond a limit."""
    definitions = document.definitions
    fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
    _check(_parts(document))
    for operation in _operations(document):
        values = {**number_defaults(operation), **variables}
        cost, levels = Costs(schema, fragments, values).of_operation(operation)
        roots = _number(operation.selection_set.selections, fragments, {})
        _check({"root fields": roots, "levels": levels, "cost": cost})


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]


def _check(numbers: Mapping[str, float]) -> None:
    for what, number in numbers.items():
        if number > MOST[what]:
            raise QueryTooComplex(f"The query is too complex: {what}: {number:,.0f}, and at most {MOST[what]:,}.")


def _parts(document: DocumentNode) -> dict[str, int]:
    """How much stands in the document, whatever is a fragment's counted once."""
    kinds = Counter(type(definition) for definition in document.definitions)
    fragments = kinds.pop(FragmentDefinitionNode, 0)
    aliases = alike = 0
    directives = sum(len(getattr(definition, "directives", None) or ()) for definition in document.definitions)
    for place in _places(document):
        fields = [selection for selection in place if isinstance(selection, FieldNode)]
        aliases += sum(field.alias is not None for field in fields)
        directives += sum(len(selection.directives or ()) for selection in place)
        names = Counter((field.alias or field.name).value for field in fields)
        alike = max(alike, *names.values(), 0)
    return {
        "operations": kinds.total(),
        "fragments": fragments,
        "aliases": aliases,
        "directives": directives,
        "fields of one name beside each other": alike,
    }


def _places(document: DocumentNode) -> Iterator[list[SelectionNode]]:
    """What stands beside each other at each place of the document, with what inline fragments hold."""
    left: list[SelectionSetNode] = [d.selection_set for d in document.definitions if hasattr(d, "selection_set")]
    while left:
        place = [*left.pop().selections]
        for selection in place:  # which grows on the way
            if isinstance(selection, InlineFragmentNode):
                place.extend(selection.selection_set.selections)
            elif isinstance(selection, FieldNode) and selection.selection_set:
                left.append(selection.selection_set)
        yield place


def _number(selections: Selections, fragments: Fragments, known: dict[str, int]) -> int:
    """How many fields the selections come to, those of a fragment each time that it is spread."""
    number = 0
    for selection in selections:
        if isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in fragments and name not in known:
                known[name] = 0  # while it is counted, as it may spread itself
                known[name] = _number(fragments[name].selection_set.selections, fragments, known)
            number += known.get(name, 0)
        elif isinstance(selection, InlineFragmentNode):
            number += _number(selection.selection_set.selections, fragments, known)
        else:
            number += 1
    return number


def number_defaults(operation: OperationDefinitionNode) -> dict[str, int]:
    """The defaults of the operation's variables, as far as they are numbers."""
    found = {v.variable.name.value: v.default_value for v in operation.variable_definitions or ()}
    return {name: _integer(value) for name, value in found.items() if isinstance(value, IntValueNode)}


def _integer(node: IntValueNode) -> int:
    return int(node.value) if len(node.value) <= len(str(LONGEST_PAGE)) else LONGEST_PAGE


@dataclass
class Costs:
    """What selections cost, and how many levels they have; a fragment is looked at once for each number of items."""

    schema: GraphQLSchema
    fragments: Fragments
    variables: Mapping[str, Any]
    _known: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)

    def of_operation(self, operation: OperationDefinitionNode) -> tuple[float, int]:
        return self._of_set(operation.selection_set, self.schema.get_root_type(operation.operation), LISTED, 1)

    def _of_set(self, node: SelectionSetNode, parent: Any, items: int, level: int) -> tuple[float, int]:
        """Cost and levels of selections in a type; the lists among them are thought to have so many `items`."""
        if level > MOST["levels"]:
            _check({"levels": level})
        found = [self._of(selection, parent, items, level) for selection in node.selections]
        return sum(cost for cost, _ in found), 1 + max((levels for _, levels in found), default=0)

    def _of(self, node: SelectionNode, parent: Any, items: int, level: int) -> tuple[float, int]:
        if isinstance(node, FieldNode):
            return self._of_field(node, parent, items, level)
        if isinstance(node, InlineFragmentNode):
            inner = self.schema.get_type(node.type_condition.name.value) if node.type_condition else parent
            return self._of_set(node.selection_set, inner, items, level + 1)
        assert isinstance(node, FragmentSpreadNode)
        return self._of_fragment(node.name.value, items, level)

    def _of_fragment(self, name: str, items: int, level: int) -> tuple[float, int]:
        fragment = self.fragments.get(name)
        if fragment is None:
            return 0, 0
        if (name, items) not in self._known:
            self._known[name, items] = (0, 0)  # while it is looked at, as it may spread itself
            inner = self.schema.get_type(fragment.type_condition.name.value)
            self._known[name, items] = self._of_set(fragment.selection_set, inner, items, level + 1)
        return self._known[name, items]

    def _of_field(self, node: FieldNode, parent: Any, items: int, level: int) -> tuple[float, int]:
        defined = self.schema.get_field(parent, node.name.value) if is_composite_type(parent) else None
        own = COSTS.get(f"{parent}.{node.name.value}", 1)
        if node.selection_set is None:
            return own, 0
        inner = get_named_type(defined.type) if defined else None
        asked = self._asked(node, defined)
        cost, levels = self._of_set(node.selection_set, inner, asked, level + 1)
        return own + cost * self._items(parent, node.name.value, defined, items), levels

    def _items(self, parent: Any, name: str, defined: GraphQLField | None, items: int) -> float:
        known = introspected(self.schema).get(f"{parent}.{name}")
        if known is not None:
            return known
        return items if defined and is_list_type(get_nullable_type(defined.type)) else 1

    def _asked(self, node: FieldNode, defined: GraphQLField | None) -> int:
        """How many items the lists in the field's answer may have; whoever asks for too many is told so there."""
        if defined is None or "first" not in defined.args:
            return LISTED
        value = next((argument.value for argument in node.arguments or () if argument.name.value == "first"), None)
        first = self.variables.get(value.name.value) if isinstance(value, VariableNode) else None
        if isinstance(value, IntValueNode):
            first = _integer(value)
        return min(first, LONGEST_PAGE) if isinstance(first, int) and first > 0 else PAGE


@lru_cache(1)
def introspected(schema: GraphQLSchema) -> dict[str, float]:
    """How many items the lists have that tell of the schema itself: on average, so that all of it costs what it is."""
    types = schema.type_map.values()
    with_fields = [t for t in types if isinstance(t, GraphQLObjectType | GraphQLInterfaceType)]
    fields = [f for t in with_fields for f in t.fields.values()]
    return {
        f"{schema.query_type}.__schema": INTROSPECTED,
        f"{schema.query_type}.__type": INTROSPECTED,
        "__Schema.types": len(types),
        "__Schema.directives": len(schema.directives),
        "__Type.fields": len(fields) / len(types),
        "__Type.inputFields": sum(len(t.fields) for t in types if isinstance(t, GraphQLInputObjectType)) / len(types),
        "__Type.enumValues": sum(len(t.values) for t in types if isinstance(t, GraphQLEnumType)) / len(types),
        "__Type.interfaces": sum(len(t.interfaces) for t in with_fields) / len(types),
        "__Type.possibleTypes": sum(len(t.interfaces) for t in with_fields) / len(types),
        "__Type.ofType": 0.5,
        "__Field.args": sum(len(f.args) for f in fields) / len(fields),
    }
