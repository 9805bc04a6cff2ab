"""A real browser before a real stack: what `make run` starts, in Debian's Chromium, driven by Playwright.

Without a Chromium these tests are skipped, loudly.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from config.stack.chromium import ARGUMENTS, program
from config.stack.errors import StackError
from tests.browser import house
from tests.browser.house import House
from tests.browser.person import Person, signed_in
from tests.fakes.receiver import Receiver

_reasons: list[str] = []
LOOK_MS = 10_000  # for a condition to come true; the stack shares two cores with its tests


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    try:
        found = program()
    except StackError as error:
        _reasons.append(str(error))
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        environment = {**os.environ, **found.environment}
        browser = playwright.chromium.launch(
            executable_path=found.path, args=list(ARGUMENTS), env=dict(environment), chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def stack(chromium: Browser) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="event-center-browser-") as directory:
        running = house.start(Path(directory))
        try:
            yield running
        finally:
            house.stop(running.process)


@pytest.fixture(scope="session")
def sessions(stack: House, chromium: Browser) -> dict[str, object]:
    """The cookies of each demo user, once signed in."""
    return {}


Visit = Callable[..., Person]


@pytest.fixture
def visit(stack: House, chromium: Browser, sessions: dict[str, object]) -> Iterator[Visit]:
    """visit("approver", dark=True, width=360, script=False) → a signed-in person with a window of their own."""
    opened: list[BrowserContext] = []

    def open_window(
        name: str = "ops", *, dark: bool = False, width: int = 1280, height: int = 900, script: bool = True
    ) -> Person:
        if name not in sessions:
            sessions[name] = signed_in(chromium, stack, name)
        context = chromium.new_context(
            base_url=stack.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            storage_state=sessions[name],  # type: ignore[arg-type]
        )
        context.set_default_timeout(LOOK_MS)
        opened.append(context)
        return Person(name, context.new_page())

    yield open_window
    for context in opened:
        context.close()


@pytest.fixture
def stranger(stack: House, chromium: Browser) -> Iterator[Page]:
    """Nobody has signed in here."""
    context = chromium.new_context(base_url=stack.url)
    context.set_default_timeout(LOOK_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _reasons:
        terminalreporter.section("CONSOLE NOT TESTED IN A BROWSER", sep="!", red=True, bold=True)
        terminalreporter.line(f"tests/browser/ was skipped: {reason}")
        terminalreporter.line("Install Debian's chromium, or put another Chromium on the PATH.")
