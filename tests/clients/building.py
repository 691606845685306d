"""The clients' sources, made into programs: types by graphql-codegen and Relay's compiler, JavaScript by TypeScript."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, ignore_patterns

HERE = Path(__file__).parent
SCHEMA = HERE.parents[1] / "schema.graphql"
CODEGEN = "generate.mjs"
RELAY = "node_modules/relay-compiler/cli.js"
TSC = "node_modules/typescript/bin/tsc"


def lay_out(folder: Path, changed: Mapping[str, str] | None = None) -> Path:
    """A copy of the sources with these files changed or added, beside the schema and the installed packages."""
    copytree(HERE, folder, ignore=ignore_patterns("node_modules", "*.py", "__pycache__"), dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for name, text in {"schema.graphql": SCHEMA.read_text(), **(changed or {})}.items():
        (folder / name).write_text(text)
    return folder


def node(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def build(folder: Path) -> None:
    for program in (CODEGEN, RELAY, TSC):
        done = node(folder, program)
        assert done.returncode == 0, done.stdout + done.stderr
