"""Environments of their own for what the service does not need: made when first used, locked with hashes."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / ".environments"


def folder(of: str) -> Path:
    """Where the environment for `bench/{of}` is: another place for each lock file."""
    lock = (HERE / of / "requirements.txt").read_bytes()
    return KEPT / f"{Path(of).name}-{hashlib.sha256(lock).hexdigest()[:12]}"


def python(of: str) -> str:
    """Its interpreter."""
    lock, made = HERE / of / "requirements.txt", folder(of)
    found = str(made / "bin" / "python")
    if not (made / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", made], check=True)
        install = [found, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]
        subprocess.run([*install, "--only-binary", ":all:", "-r", lock], check=True)
        (made / "complete").touch()
    return found


def versions(of: str, names: Sequence[str]) -> list[str]:
    """Those of these packages that it has, each with its version."""
    paths = [str(path) for path in folder(of).glob("lib/python*/site-packages")]
    found = {each.name.lower(): each.version for each in distributions(path=paths)}
    return [f"{name} {found[name]}" for name in names if name in found]
