"""graphql-codegen makes types of the operations, which strict TypeScript holds their users to."""

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from tests.clients.building import CODEGEN, HERE, TSC, lay_out, node

# Each line with the number of TypeScript's error that it must make, if any.
USES = """\
import { apolloClient } from "./apollo";
import { GenerateDocument, LinksDocument, type ScreenQuery } from "./operations";
import { urqlClient } from "./urql";
const apollo = apolloClient("", () => "");
const urql = urqlClient("", () => "");
export async function uses({ viewer, calendarFeeds: [feed] }: ScreenQuery) {
  await apollo.mutate({ mutation: GenerateDocument, variables: { input: { graceHours: 1 } } });
  await apollo.mutate({ mutation: GenerateDocument, variables: { input: { noSuchField: 1 } } }); // TS2769
  await apollo.mutate({ mutation: GenerateDocument, variables: { input: { options: { tasksAs: "NOTE" } } } }); // TS2769
  await apollo.mutate({ mutation: GenerateDocument }); // TS2769
  await urql.mutation(GenerateDocument, { input: { graceHours: 1 } });
  await urql.mutation(GenerateDocument, { input: { graceHours: "1" } }); // TS2322
  await urql.query(LinksDocument, { where: { userIds: [1] } }); // TS2322
  feed.name.length;
  feed.url.length; // TS18047
  feed.preview; // TS2339
  viewer?.name;
  viewer.name; // TS18047
}
"""


def config(**changed: Any) -> str:
    """codegen.json with another configuration of the operations."""
    config = json.loads((HERE / "codegen.json").read_text())
    config["generates"]["operations.ts"]["config"] |= changed
    return json.dumps(config)


def test_wrong_uses_of_the_types_do_not_compile(built: Path, tmp_path: Path) -> None:
    folder = copytree(built, tmp_path / "wrong", symlinks=True)
    (folder / "uses.ts").write_text(USES)
    done = node(folder, TSC, "--noEmit", "--pretty", "false")
    found = re.findall(r"^(\S+)\((\d+),\d+\): error (TS\d+)", done.stdout, re.MULTILINE)
    marked = [(number, re.search(r"// (TS\d+)$", line)) for number, line in enumerate(USES.splitlines(), start=1)]
    assert found == [("uses.ts", str(number), mark[1]) for number, mark in marked if mark]


@pytest.mark.parametrize(
    ("said", "instead", "complaint"),
    [
        ("    timeZone\n", "    timezone\n", 'Cannot query field "timezone" on type "User".'),
        ("$input: UpdateFeedLinkInput!", "$input: String!", 'Variable "$input" of type "String!" used in position'),
        ("on LinkNameInvalid", "on FeedLink", 'Fragment "NameProblem" cannot be spread here'),
    ],
)
def test_operation_that_does_not_fit_the_schema_makes_no_types(
    said: str, instead: str, complaint: str, tmp_path: Path
) -> None:
    wrong = (HERE / "screen.graphql").read_text().replace(said, instead)
    done = node(lay_out(tmp_path, {"screen.graphql": wrong}), CODEGEN)
    assert done.returncode == 1
    assert complaint in done.stderr


def test_scalar_without_a_type_makes_no_types(tmp_path: Path) -> None:
    done = node(lay_out(tmp_path, {"codegen.json": config(scalars={})}), CODEGEN)
    assert done.returncode == 1
    assert "Unknown scalar type" in done.stderr
