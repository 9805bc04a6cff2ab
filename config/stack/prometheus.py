"""Prometheus and its promtool from Debian's package, for the tests of our rules and for trying them without containers."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.stack.debian import unpacked

# What its own web pages load; neither the server nor promtool needs them.
PAGES = (
    "fonts-glyphicons-halflings",
    "libjs-bootstrap",
    "libjs-bootstrap4",
    "libjs-d3",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-moment-timezone",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
    "adduser",
)


def program(name: str) -> Path:
    """`prometheus` or `promtool`: the system's, or the unpacked one. Raises StackError, saying why it cannot be had."""
    installed = shutil.which(name)
    return Path(installed) if installed else unpacked("prometheus", "prometheus", *PAGES) / "usr" / "bin" / name
