"""Programs from Debian's packages, for tests and for trying things out: unpacked into the user's cache, never installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from config.stack.errors import StackError

SCRIPT = Path(__file__).with_suffix(".sh")


def unpacked(name: str, package: str, *left_out: str) -> Path:
    """The root below which the package's files are, once for all checkouts of a user, in the cache under `name`.

    `left_out`: packages that it is said to need and that are not wanted. Raises StackError, saying why it cannot be had.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "event-center" / name
    argv = ["bash", str(SCRIPT), str(directory), package, *left_out]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"no {package}: {done.stderr.strip()}")
    return directory / "root"
