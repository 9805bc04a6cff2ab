"""A RabbitMQ for the tests that ask for one: what RABBITMQ_URL names, or Debian's package below a directory of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.stack.errors import StackError
from config.stack.ports import Ports
from config.stack.rabbitmq import RabbitMq, installation

_reasons: list[str] = []


@pytest.fixture(scope="session")
def rabbitmq_service() -> Iterator[RabbitMq]:
    """The node itself, for tests that stop and start it."""
    try:
        root = installation()
    except StackError as error:
        _reasons.append(str(error))
        pytest.skip(str(error))
    home = Path(tempfile.mkdtemp(prefix="event-center-rabbitmq-"))
    service = RabbitMq(home, Ports(home / "ports.json"), root)
    try:
        service.start()
        yield service
    finally:
        service.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    named = os.environ.get("RABBITMQ_URL")
    return named or str(request.getfixturevalue("rabbitmq_service").url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _reasons:
        terminalreporter.section("AMQP NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"The tests of the AMQP channel were skipped: {reason}")
        terminalreporter.line("Install Debian's rabbitmq-server, or name a running RabbitMQ by RABBITMQ_URL.")
