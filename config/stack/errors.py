"""What can go wrong with a part of the stack, in words for the person at the terminal."""

from __future__ import annotations

from pathlib import Path

LOG_TAIL_LINES = 20


class StackError(Exception):
    """A problem that is explained by its message alone; shown without a traceback."""


class PartFailed(StackError):
    """A named part did not start or did not stay up; the message carries the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} {reason}\n{log_tail(log)}")
        self.name = name


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log under a heading, or a line saying that there are none."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    last = text.splitlines()[-lines:]
    if not last:
        return f"  {log} is empty"
    return "\n".join([f"  last lines of {log}:", *(f"  | {line}" for line in last)])
