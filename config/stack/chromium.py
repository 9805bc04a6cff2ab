"""Chromium for the console's browser tests and pictures: the system's, or Debian's package, unpacked and never installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.stack.debian import unpacked

NAMES = ("chromium", "chromium-browser", "google-chrome")
# As root there is no sandbox, and nothing is to be fetched that no page asked for.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")


@dataclass(frozen=True, slots=True)
class Program:
    """`environment` is what it needs beside the caller's."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def program() -> Program:
    """Raises StackError, saying why it cannot be had."""
    installed = next((found for name in NAMES if (found := shutil.which(name))), None)
    if installed:
        return Program(Path(installed))
    root = unpacked("chromium", "chromium")
    known = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    libraries = os.pathsep.join(filter(None, [*(str(root / each) for each in LIBRARIES), *known]))
    # The packages' own fonts, by the packages' own settings: the system may have neither.
    return Program(root / "usr/lib/chromium/chromium", {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_SYSROOT": str(root)})
