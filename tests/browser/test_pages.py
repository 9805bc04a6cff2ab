"""Every page of the console, found by following its links: nothing is broken, nobody is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.browser.house import House
from tests.browser.lived_in import live
from tests.browser.person import Person
from tests.browser.walk import NAMES, Walk, is_page
from tests.fakes.receiver import Receiver

pytestmark = pytest.mark.timeout(400)  # some thirty pages, each looked at in four ways

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
# axe leaves the size of targets out unless it is asked (WCAG 2.2 AA, 2.5.8).
EVERYTHING = {"rules": {"target-size": {"enabled": True}}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# `make screenshots` names a directory.
ALSO_DARK = ("overview", "delivery")
PICTURES = os.environ.get("SCREENSHOTS_DIRECTORY", "")


def test_every_page_is_whole_for_everybody_in_light_dark_and_on_a_phone(
    visit: Visit, stack: House, receiver: Receiver
) -> None:
    beside = live(stack, receiver)
    ops = visit()
    walk, problems = Walk(ops.page), list[str]()
    for name in walk("/", *beside):
        problems += [f"{name}: {problem}" for problem in looked_at(ops, name)]
    missed = sorted(name for name in NAMES if is_page(name) and name not in walk.found)
    assert "\n".join(problems) == ""
    assert ops.complaints == []
    assert missed == [], f"no link led there from {sorted(walk.found)}"


def test_every_link_that_a_viewer_sees_leads_to_a_page_that_they_may_see(visit: Visit, stack: House) -> None:
    viewer = visit("viewer")
    walk = Walk(viewer.page, but=".manual")  # the runbook is written for all
    seen = list(walk())
    assert {"deliveries", "delivery"} <= set(seen)
    assert viewer.complaints == []


def looked_at(person: Person, name: str) -> list[str]:
    """What is wrong with the page that is open."""
    page = person.page
    problems = violations(page, EVERYTHING)
    picture(page, name)
    page.emulate_media(color_scheme="dark")
    problems += [f"dark: {each}" for each in violations(page, COLOURS)]
    if name in ALSO_DARK:
        picture(page, f"{name}-dark")
    page.set_viewport_size(PHONE)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        problems.append(f"360 px: {wide} px too wide")
    problems += [f"360 px: {each}" for each in violations(page, EVERYTHING)]
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="light")
    return problems


def violations(page: Page, options: dict[str, object]) -> list[str]:
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {node['html'][:160]}"
        for each in found
        for node in each["nodes"][:3]
    ]


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")
