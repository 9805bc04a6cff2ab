"""Somebody at the console: a window, and what it complained of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, expect

from tests.browser.house import House


@dataclass
class Person:
    """`complaints`: errors of scripts and of what pages asked for, of all pages so far; a page that works has none."""

    name: str
    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("response", self._answered)

    def opens(self, path: str) -> int:
        """The status of the answer. The page stands still when this returns."""
        response = self.page.goto(path)
        assert response is not None
        return response.status

    def presses(self, name: str, *, within: Locator | None = None) -> None:
        """The button or link of that name."""
        pattern = re.compile(rf"^{re.escape(name)}$", re.IGNORECASE)
        place = within or self.page.locator("main")
        place.get_by_role("button", name=pattern).or_(place.get_by_role("link", name=pattern)).first.click()

    def reads(self, text: str | re.Pattern[str]) -> None:
        """Waits until the page says so."""
        expect(self.page.locator("main")).to_contain_text(text)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.status} {response.url}")


def signed_in(browser: Browser, house: House, name: str) -> object:
    """The cookies of a session, from the sign-in page."""
    context = browser.new_context(base_url=house.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("User name").or_(page.get_by_label("Username")).fill(name)
    page.get_by_label("Password").fill(house.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    state = context.storage_state()
    context.close()
    return state
