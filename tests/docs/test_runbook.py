"""The runbook has a section for each alert, and what it tells a person to press is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.core.management import get_commands, load_command_class
from django.urls import resolve

from delivery.alerting.kinds import KINDS, Kind
from delivery.console.runbook import anchor

TEXT = (Path(settings.BASE_DIR) / "docs" / "operations" / "runbook.md").read_text()
GENERAL = {"which-alert-first", "nothing-works"}
PARTS = ["Means", "Whose fault", "Press", "Over when", "Wrong before"]

SECTIONS = {
    anchor(title): text for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
}
COMMANDS = re.findall(r"manage\.py (\w+)((?: [^\n`]*)?)", TEXT)
PATHS = sorted(set(re.findall(r"`(/[^`\s]*)`", TEXT)))


def words_of(kind: Kind) -> str:
    """Its threshold, as the runbook writes it."""
    return {"share": f"{kind.threshold:.0%}".replace("%", " %"), "seconds": f"{kind.threshold:g} s"}.get(
        kind.unit, f"{kind.threshold:,.0f}"
    )


def test_every_kind_has_a_section_and_no_section_is_left_over() -> None:
    assert set(SECTIONS) - GENERAL == {kind.runbook for kind in KINDS.values()}
    assert set(SECTIONS) >= GENERAL


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.runbook)
def test_section_has_all_parts_in_order_when_its_kind_fires(kind: Kind) -> None:
    section = SECTIONS[kind.runbook]

    assert re.findall(r"^\*\*([A-Z][a-z ]+?)\.?\*\*", section, re.MULTILINE) == PARTS
    assert all(len(part) > 30 for part in re.split(r"^\*\*", section, flags=re.MULTILINE)[1:])


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.threshold], ids=lambda kind: kind.runbook)
def test_section_tells_the_default_threshold_when_there_is_one(kind: Kind) -> None:
    means = SECTIONS[kind.runbook].split("**Whose fault", 1)[0]

    assert words_of(kind) in means


@pytest.mark.parametrize(("name", "arguments"), sorted(set(COMMANDS)))
def test_command_and_its_options_exist_when_they_are_named(name: str, arguments: str) -> None:
    """`migrate` and the like are Django's; an option is one that the command's parser knows."""
    app = get_commands()[name]
    parser = (load_command_class(app, name) if isinstance(app, str) else app).create_parser("manage.py", name)
    known = {option for action in parser._actions for option in action.option_strings}

    assert set(re.findall(r"(?<= )--[a-z-]+", arguments)) <= known


@pytest.mark.parametrize("path", PATHS)
def test_page_exists_when_it_is_named(path: str) -> None:
    match = resolve(path.partition("?")[0])

    assert match.url_name not in (None, "admin-sign-in")
    assert match.route != "admin/(?P<url>.*)$"  # what the admin's last pattern takes is no page


def test_buttons_are_those_of_the_admin_when_they_are_named() -> None:
    descriptions = " ".join(
        str(getattr(getattr(model_admin, name, None), "short_description", ""))
        for model_admin in admin.site._registry.values()
        for name in model_admin.actions
        if isinstance(name, str)
    )
    for button in ("Pause", "Resume", "Probe now", "Close", "Rotate the signing secret", "Rotate the secret"):
        assert f"*{button}*" in TEXT
        assert button in descriptions
