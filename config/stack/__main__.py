"""`python -m config.stack run` starts everything; `prometheus` runs one beside it; `reset` removes its data. PORT,
PROMETHEUS_PORT and STACK_DIR are read from the environment. `exec -- COMMAND` runs a command with services of its own,
which are removed when it ends."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from config.stack import control, prometheus
from config.stack.errors import StackError
from config.stack.parent import end_with_parent
from config.stack.run import Run
from config.stack.services import Services

DEFAULT_PORT, DEFAULT_PROMETHEUS_PORT = "8000", "9090"
PORTS_ALLOWED = range(1, 65_536)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m config.stack", description=__doc__)
    options.add_argument("command", choices=("run", "reset", "exec", "prometheus"))
    options.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    options.add_argument("argv", nargs="*", metavar="COMMAND", help="for exec, behind --")
    given = options.parse_args()
    directory = Path(os.environ.get("STACK_DIR") or ".stack")
    if given.with_parent:
        end_with_parent()
    try:
        if given.command == "run":
            Run(directory, _port("PORT", DEFAULT_PORT))()
        elif given.command == "prometheus":
            prometheus.run(directory, _port("PROMETHEUS_PORT", DEFAULT_PROMETHEUS_PORT))
        elif given.command == "exec":
            sys.exit(with_own_services(given.argv))
        elif directory.exists():
            Services(directory, keep=False).stop()
    except StackError as error:
        print(f"\nevent-center: {error}", file=sys.stderr)
        sys.exit(1)


def with_own_services(argv: list[str]) -> int:
    """Runs `argv`, and stops, crashes and starts the services as it asks (config.stack.control). Returns its exit code.

    BENCH_SERVICE_PIDS tells it whose CPU is the services'.
    """
    directory = Path(tempfile.mkdtemp(prefix="event-center-"))
    with Services(directory, keep=False, progress=lambda line: print(line, file=sys.stderr)) as services:
        parts = {part.name: part.pid for part in services.parts.values()}
        pids = ",".join(f"{name}:{pid}" for name, pid in parts.items())
        door = control.Control({"postgres": services.postgres, "redis": services.valkey, "kafka": services.kafka})
        env = {**os.environ, **services.env, "BENCH_SERVICE_PIDS": pids, control.VARIABLE: str(door.fileno)}
        try:
            return subprocess.run(argv, env=env, pass_fds=[door.fileno], check=False).returncode
        finally:
            door.close()


def _port(variable: str, default: str) -> int:
    text = os.environ.get(variable) or default
    if text.isascii() and text.isdigit() and int(text) in PORTS_ALLOWED:
        return int(text)
    raise StackError(f"{variable} is {text!r}; it takes a number from 1 to {PORTS_ALLOWED.stop - 1}")


if __name__ == "__main__":
    main()
