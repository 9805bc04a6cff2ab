"""Debian's promtool, for the files that users give to Prometheus; without it their tests are skipped, loudly."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.stack.errors import StackError
from config.stack.prometheus import program

_reasons: list[str] = []


@pytest.fixture(scope="session")
def promtool() -> Path:
    try:
        return program("promtool")
    except StackError as error:
        _reasons.append(str(error))
        pytest.skip(str(error))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _reasons:
        terminalreporter.section("PROMETHEUS FILES NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"config/observability/ was not checked by promtool: {reason}")
        terminalreporter.line("Install Debian's prometheus, or put its promtool on the PATH.")
