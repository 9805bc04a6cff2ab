"""The application's processes. The Procfile is the one list of them; what is run here is read from it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from config.stack.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
# Run as modules: the scripts that pip makes name their interpreter in a first line that may not be long.
MODULES = frozenset({"gunicorn", "celery"})


def procfile(root: Path = ROOT) -> dict[str, list[str]]:
    """Name to words of the command, as they stand in the Procfile."""
    processes = {}
    for line in (root / "Procfile").read_text().splitlines():
        name, colon, command = line.partition(":")
        if colon and not line.startswith("#"):
            processes[name.strip()] = shlex.split(command)
    return processes


def with_this_python(words: list[str]) -> list[str]:
    """The same command by the interpreter that runs us, whatever the PATH says."""
    program, *arguments = words
    if program == "python":
        return [sys.executable, *arguments]
    if program in MODULES:
        return [sys.executable, "-m", program, *arguments]
    raise StackError(f"Procfile: {program} is neither python nor one of {', '.join(sorted(MODULES))}")


def application(root: Path = ROOT) -> dict[str, list[str]]:
    return {name: with_this_python(words) for name, words in procfile(root).items()}
