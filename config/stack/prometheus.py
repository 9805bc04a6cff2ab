"""Prometheus and its promtool from Debian's package: for the tests of our rules, and beside `make run` without containers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import yaml

from config.stack.debian import unpacked
from config.stack.errors import StackError
from config.stack.ports import LOOPBACK, is_free
from config.stack.processes import ROOT

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
RULES = ROOT / "config" / "observability" / "prometheus" / "rules.yml"
TARGETS = "metrics_targets.json"  # written by `make run`


def program(name: str) -> Path:
    """`prometheus` or `promtool`: the system's, or the unpacked one. Raises StackError, saying why it cannot be had."""
    installed = shutil.which(name)
    return Path(installed) if installed else unpacked("prometheus", "prometheus", *PAGES) / "usr" / "bin" / name


def configuration(targets: Path) -> str:
    """Like config/observability/prometheus/prometheus.yml, of the processes that `make run` started."""
    job = {
        "job_name": "event-center-processes",
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "5s"}],
    }
    every = {"scrape_interval": "5s", "evaluation_interval": "15s"}
    return yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": [job]}, sort_keys=False)


def run(directory: Path, port: int) -> NoReturn:
    """Prometheus beside the stack in `directory`, on loopback: this process becomes it. Raises StackError when it cannot."""
    directory = directory.resolve()
    if not (directory / TARGETS).exists():
        raise StackError(f"there is no {directory / TARGETS}; start `make run` first, with the same STACK_DIR")
    if not is_free(port):
        raise StackError(f"port {port} (PROMETHEUS_PORT) is taken by another program")
    home = directory / "prometheus-server"
    home.mkdir(exist_ok=True)
    (home / "prometheus.yml").write_text(configuration(directory / TARGETS))
    argv = [
        str(program("prometheus")),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--log.level=warn",
    ]
    print(f"  prometheus  http://{LOOPBACK}:{port}/  Ctrl-C stops it", flush=True)
    os.execv(argv[0], argv)  # noqa: S606 - every signal shall reach it
