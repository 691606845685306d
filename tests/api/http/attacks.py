"""Queries that are made to keep a server busy, and what is heavy but allowed."""

import json

FIELDS = "id name status url webcalUrl options { tasksAs detail } createdAt user { id name } calendar { id name }"
RESET = "resetCalendarFeeds(input: {}) { resetCount }"
OF_LINKS = "mutation ($input: ResetFeedLinksInput!) { resetFeedLinks(input: $input) { linkCount } }"
GENERATE = "mutation ($input: GenerateCalendarUrlInput!) { generateCalendarUrl(input: $input) { url } }"
MANY = 59_000


def numbered(number: int, form: str, between: str = " ") -> str:
    """The form so often, with `#` for the number of each, and `##` for the next one."""
    return between.join(form.replace("##", str(n + 1)).replace("#", str(n)) for n in range(number))


def nested(number: int, before: str, inner: str, after: str) -> str:
    return f"{before * number}{inner}{after * number}"


def chain(number: int, kind: str, form: str, *, last: str) -> str:
    """Fragments F0, F1 …, each with the selections of the form, which spreads the next one as `...F##`."""
    return f"{numbered(number, f'fragment F# on {kind} {{ {form} }}')} fragment F{number} on {kind} {{ {last} }}"


def spread_all(number: int) -> str:
    """Fragments, each of which spreads all that come after it."""
    spreads = (" ".join(f"...F{later}" for later in range(n + 1, number)) for n in range(number))
    return " ".join(f"fragment F{n} on Query {{ id {spread} }}" for n, spread in enumerate(spreads))


TOO_COMPLEX = {
    "150 levels": nested(150, "{ calendarFeeds ", "{ id }", "}"),
    "190 inline fragments": f"{{{nested(190, '... {', '__typename', '}')}}}",
    "fragments one in the other": f"{{ ...F0 }} {chain(49, 'Query', '...F##', last='__typename')}",
    "320 aliases": f"{{ viewer {{ {numbered(320, 'a#: id')} }} }}",
    "4,000 aliases": f"{{ viewer {{ {numbered(4_000, 'a#: id')} }} }}",
    "aliases in a fragment": f"{{ viewer {{ ...F }} }} fragment F on User {{ {numbered(320, 'a#: id')} }}",
    "fragments that double": f"{{ ...F0 }} {chain(25, 'Query', '...F## ...F##', last='__typename')}",
    "fragments that double between fields": (
        f"{{ viewer {{ ...F0 }} }} {chain(24, 'User', 'id ...F## name ...F## email', last='id')}"
    ),
    "fragments that double in inline fragments": (
        f"{{ ...F0 }} {chain(14, 'Query', '... { ...F## } ... { ...F## }', last='__typename')}"
    ),
    "fragments that spread all later ones": f"{{ ...F0 }} {spread_all(18)}",
    "ring of fragments": f"{{ ...F0 }} {chain(48, 'Query', '...F## ...F0', last='...F0')}",
    "90 fragments": f"{{ __typename }} {numbered(90, 'fragment F# on Query { __typename }')}",
    "directives on a field": f"{{ __typename {'@skip(if: false) ' * 140} }}",
    "directives that nobody knows": f"{{ __typename {numbered(450, '@a#')} }}",
    "directives on the operation": f"query {numbered(450, '@a#')} {{ __typename }}",
    "types of types": f"{{ __schema {{ types {nested(28, '{ ofType ', '{ name }', '}')} }} }}",
    "schema by aliases": (
        f"{{ __schema {{ types {{ fields {{ type {{ {numbered(50, 'a#: fields { name }')} }} }} }} }} }}"
    ),
    "240 times the same field": f"{{ {'viewer { id } ' * 240} }}",
    "900 times the same field below": f"{{ viewer {{ {'id ' * 900} }} }}",
    "the same fields in inline fragments": f"{{ {'... { viewer { id } } ' * 120} }}",
    "the same fields in the same fields": f"{{ {('viewer { ' + 'id ' * 30 + '} ') * 30} }}",
    "different fields of one name": f"{{ viewer {{ {'a: id a: name ' * 150} }} }}",
    "different arguments": f"{{ {numbered(60, 'a: auditLog(first: #) { __typename }')} }}",
    "90,000 letters in a text": f'{{ calendarFeeds(userID: "{"x" * 90_000}") {{ id }} }}',
    "90,000 commas": f"{{ {',' * 90_000} viewr }}",
    "9,000 comments": "#\n" * 9_000 + "{ viewr }",
    "a page of everything": (
        "{ feedLinks(first: 500) { edges { node { ...F } } } }"
        f" fragment F on FeedLink {{ {FIELDS} {numbered(20, 'c#: clients { name polls }')} }}"
    ),
    "a page of everything in fragments": (
        "{ feedLinks(first: 500) { edges { node { ...F0 } } } }"
        f" {chain(3, 'FeedLink', '...F## ' * 5, last=FIELDS)}"
    ),
    "previews again and again": f"{{ calendarFeeds {{ {numbered(45, 'a#: preview { eventCount }')} }} }}",
    "codes again and again": f"{{ calendarFeeds {{ links {{ {numbered(45, 'a#: qrCodeSvg')} }} }} }}",
    "30 mutations": f"mutation {{ {numbered(30, f'a#: {RESET}')} }}",
    "mutations in fragments": (
        f"mutation {{ ...A ...B ...A }} fragment A on Mutation {{ {numbered(8, f'a#: {RESET}')} }}"
        f" fragment B on Mutation {{ {numbered(8, f'b#: {RESET}')} }}"
    ),
}

INVALID = {
    "300 levels": nested(300, "{ a ", "{ id }", "}"),
    "20,000 brackets": "{" * 20_000,
    "lists in lists": f"{{ calendarFeeds(userId: {nested(400, '[', '1', ']')}) {{ id }} }}",
    "objects in objects": f"{{ calendarFeeds(userId: {nested(150, '{a: ', '1', '}')}) {{ id }} }}",
    "lists of lists of a variable": (
        f"query ($a: {nested(190, '[', 'ID', ']')}) {{ calendarFeeds(userId: $a) {{ id }} }}"
    ),
    "fragment that spreads itself": "{ ...F } fragment F on Query { ...F ...F __typename }",
    "small ring of fragments": f"{{ ...F0 }} {chain(20, 'Query', '...F## ...F0', last='...F0')}",
    "60 operations": numbered(60, "query Q# { __typename }"),
    "directives on a variable": f"query ($a: Int {numbered(450, '@a#')}) {{ __typename }}",
    "schema in the schema": f"{{ __schema {{ types {nested(3, '{ fields { type ', '{ name }', '} }')} }} }}",
    "40,000 letters in a text": f'{{ calendarFeeds(userID: "{"x" * 40_000}") {{ id }} }}',
    "20,000 escapes in a text": '{ calendarFeeds(userID: "' + "\\n" * 20_000 + '") { id } }',
    "block of 10,000 lines": '{ calendarFeeds(userID: """' + " x\n" * 10_000 + '""") { id } }',
    "40,000 commas": f"{{ {',' * 40_000} viewr }}",
    "number of 40,000 digits": f"{{ feedLinks(first: {'9' * 40_000}) {{ edges {{ cursor }} }} }}",
    "name of 40,000 letters": f"{{ {'a' * 40_000} }}",
    "900 unknown fields": f"{{ viewer {{ {numbered(900, 'x#')} }} }}",
    "300 arguments": f"{{ calendarFeeds({numbered(300, 'a#: 1')}) {{ id }} }}",
    "300 fields of an input": f"mutation {{ generateCalendarUrl(input: {{ {numbered(300, 'a#: 1')} }}) {{ url }} }}",
    "900 items of a list": f"{{ calendarFeeds(userId: [{'1 ' * 900}]) {{ id }} }}",
    "240 variables": f"query ({numbered(240, '$a#: Int')}) {{ __typename }}",
}

ALLOWED = {
    "the schema again and again": f"{{ {numbered(15, 'a#: __schema { types { fields { name args { name } } } }')} }}",
    "types of types": (
        f"{{ __schema {{ types {{ ...F0 }} }} }} {chain(12, '__Type', 'ofType { ...F## ...F## }', last='name')}"
    ),
    "the same lists in the same lists": f"{{ {('calendarFeeds { ' + 'links { id name } ' * 10 + '} ') * 10} }}",
    "all of all links again and again": (
        f"{{ calendarFeeds {{ {numbered(40, 'a#: links { ...F }')} }} }}"
        f" fragment F on FeedLink {{ {FIELDS} clients {{ name polls stale }} subscribe {{ google apple outlook }} }}"
    ),
    "page after page": f"{{ {numbered(9, 'a#: feedLinks(first: 500) { edges { node { name url status } } }')} }}",
    "codes": f"{{ calendarFeeds {{ links {{ {numbered(8, 'a#: qrCodeSvg')} }} }} }}",
}


def body(query: str, value: str = "null") -> bytes:
    """A request with the variable `input`, whose value is JSON already."""
    return f'{{"query": {json.dumps(query)}, "variables": {{"input": {value}}}}}'.encode()


def with_keys(number: int) -> bytes:
    return body(OF_LINKS, json.dumps({f"k{n}": 1 for n in range(number)}))


def of_users(items: str) -> bytes:
    return body(OF_LINKS, f'{{"where": {{"userIds": [{items}]}}}}')


def of_types(*items: str) -> bytes:
    return body(GENERATE, json.dumps({"options": {"activityTypes": items}}))


# Requests of a caller who is known, and the code that each is refused with.
BODIES = {
    "objects for numbers": (of_users("{}," * MANY + "1"), "INVALID_QUERY"),
    "many, of which the last is wrong": (of_users("1," * MANY + "{}"), "INVALID_QUERY"),
    "unknown fields": (with_keys(MANY), "INVALID_QUERY"),
    "objects without their fields": (body(OF_LINKS, f"[{'{},' * MANY}{{}}]"), "INVALID_QUERY"),
    "wrong values of an enum": (of_types(*(f"T{number}" for number in range(MANY))), "INVALID_QUERY"),
    "texts of a megabyte": (of_types(*(f"{number}{'x' * 1_000_000}" for number in range(9))), "INVALID_QUERY"),
    "name of nine megabytes": (body(GENERATE, json.dumps({"x" * 9_000_000: 1})), "BAD_REQUEST"),
    "lists in lists": (of_users(nested(900, "[", "", "]")), "INVALID_QUERY"),
    "objects in objects": (body(OF_LINKS, nested(450, '{"where": ', "1", "}")), "INVALID_QUERY"),
    "long numbers": (of_users(f"[{','.join(['9' * 4_300] * 2_000)}]"), "INVALID_QUERY"),
    "200,000 values": (body("{ __typename }", f"[{'1,' * 200_000}1]"), "TOO_LARGE"),
    "60,001 lists": (body("{ __typename }", f"[{'[],' * 60_000}1]"), "TOO_LARGE"),
    "3,000,000 lists": (body("{ __typename }", f"[{'[],' * 3_000_000}1]"), "TOO_LARGE"),
    "700,000 keys": (with_keys(700_000), "TOO_LARGE"),
}
