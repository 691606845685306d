"""Environments of their own for what the service does not need: made when first used, locked with hashes."""

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / ".environments"


def python(of: str) -> str:
    """The interpreter of the environment for `bench/{of}`, of which a new lock file makes another one."""
    lock = HERE / of / "requirements.txt"
    made = KEPT / f"{Path(of).name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    found = str(made / "bin" / "python")
    if not (made / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", made], check=True)
        install = [found, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes"]
        subprocess.run([*install, "--only-binary", ":all:", "-r", lock], check=True)
        (made / "complete").touch()
    return found
