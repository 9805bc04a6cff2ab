"""The application's processes. The Procfile is the one list of them; what is run here is read from it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from config.stack.errors import StackError
from config.stack.ports import LOOPBACK

ROOT = Path(__file__).resolve().parents[2]
# Run as modules: the scripts that pip makes name their interpreter in a first line that may not be long.
MODULES = frozenset({"gunicorn", "celery"})
# All others serve METRICS_PORT: the web process has /metrics, and beat nothing to tell.
WITHOUT_METRICS_PORT = frozenset({"web", "beat"})


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


def with_metrics_port(root: Path = ROOT) -> list[str]:
    """Those that serve METRICS_PORT."""
    return [name for name in procfile(root) if name not in WITHOUT_METRICS_PORT]


def metrics_targets(ports: Mapping[str, int]) -> list[dict[str, object]]:
    """Name → port, as Prometheus' file_sd_configs takes it: https://prometheus.io/docs/prometheus/latest/configuration/."""
    return [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"process": name}} for name, port in ports.items()]
