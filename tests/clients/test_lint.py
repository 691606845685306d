"""The rules that the field holds schemas to, and ours on the operations that the tests run."""

import json
from pathlib import Path

from tests.clients.building import HERE, lay_out, node

ESLINT = "node_modules/eslint/bin/eslint.js"
FAULTY = '''
"""Everything that can be asked."""
type Query {
  """The things."""
  getThings(first: Int): ThingConnection!
  """Other names."""
  names: [String!]! @deprecated
}
"""Everything that can be changed."""
type Mutation {
  """Add a thing."""
  addThing(thing: ThingInput!): Boolean!
}
"""A thing to add."""
input ThingInput { Name: String }
# A page of things.
type ThingConnection { edges: [Thing] }
"""A thing."""
type Thing { thingName: String!, state: State }
"""A state."""
enum State { ON on }
"""Reached by nothing."""
type Alone { name: String }
'''


def complaints(folder: Path) -> dict[str, list[str]]:
    """The rules that are broken, by the file that breaks them."""
    done = node(folder, ESLINT, "--format", "json", ".")
    found = {
        Path(file["filePath"]).name: sorted({one["ruleId"].partition("/")[2] for one in file["messages"]})
        for file in json.loads(done.stdout)
    }
    return {name: rules for name, rules in found.items() if name.endswith(".graphql")}


def test_schema_and_operations_break_no_rule(tmp_path: Path) -> None:
    files = ("integration.graphql", "management.graphql", "schema.graphql", "screen.graphql")
    assert complaints(lay_out(tmp_path)) == {file: [] for file in files}


def test_faulty_schema_breaks_rules(tmp_path: Path) -> None:
    assert complaints(lay_out(tmp_path, {"schema.graphql": FAULTY}))["schema.graphql"] == [
        "input-name",
        "naming-convention",
        "no-hashtag-description",
        "no-scalar-result-type-on-mutation",
        "no-typename-prefix",
        "no-unreachable-types",
        "relay-arguments",
        "relay-connection-types",
        "relay-edge-types",
        "relay-page-info",
        "require-deprecation-reason",
        "require-description",
        "unique-enum-value-names",
    ]


def test_operation_without_the_ids_that_caches_need_breaks_a_rule(tmp_path: Path) -> None:
    wrong = (
        (HERE / "screen.graphql")
        .read_text()
        .replace("fragment Link on FeedLink {\n  id\n", "fragment Link on FeedLink {\n")
    )
    assert complaints(lay_out(tmp_path, {"screen.graphql": wrong}))["screen.graphql"] == ["require-selections"]
