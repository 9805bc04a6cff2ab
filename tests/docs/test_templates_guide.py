"""docs/guides/templates.md is true: each example is rendered, each table is held against the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from subscriptions.templating import (
    TEMPLATES,
    BodyKind,
    check_params,
    check_url,
    compile_template,
    limits,
    sample_events,
)
from subscriptions.templating.filters import FILTERS

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "templates.md").read_text()
SAMPLE = sample_events()["plugin.release.published"]
EXAMPLE = re.compile(r"```json\n(\{\n  \"template\".*?)```\n\nand sends\n\n```http\n(.*?)\n```", re.DOTALL)
EXAMPLES = [(json.loads(settings), request) for settings, request in EXAMPLE.findall(GUIDE)]


def shown(settings: dict[str, Any]) -> str:
    """The request as the guide shows it: JSON indented, a form with one pair a line."""
    made = compile_template(settings["template"], settings["template_params"], settings["credentials"])
    body = made.render(SAMPLE).decode()
    is_form = made.kind is BodyKind.FORM
    readable = body.replace("&", "\n&") if is_form else json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return "\n".join([f"POST {settings['url']}", *(f"{name}: {value}" for name, value in made.headers), "", readable])


def rows(heading: str) -> list[list[str]]:
    """The table under a heading, its head and rule left out."""
    section = GUIDE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_every_template_has_an_example() -> None:
    assert [settings["template"] for settings, _ in EXAMPLES] == list(TEMPLATES)


@pytest.mark.parametrize(("settings", "request_shown"), EXAMPLES, ids=lambda value: str(value)[:24])
def test_example_is_what_is_sent(settings: dict[str, Any], request_shown: str) -> None:
    template = TEMPLATES[settings["template"]]
    assert check_url(template, settings["url"]) is None
    assert check_params(template, settings["template_params"], settings["credentials"]) == {}
    assert request_shown == shown(settings)


def test_table_of_templates_is_the_registry() -> None:
    listed = [(name.strip("`"), answer) for name, _, answer, _ in rows("The templates")]
    assert listed == [(template.name, template.answer) for template in TEMPLATES.values()]
    for template, (_, _, _, source) in zip(TEMPLATES.values(), rows("The templates"), strict=True):
        assert f"({template.docs_url})" in source


def test_parameters_in_the_guide_are_those_of_the_templates() -> None:
    listed = {(name.strip("`"), field.strip("`")) for name, field, *_ in rows("Parameters")}
    assert listed == {(name, field.name) for name, template in TEMPLATES.items() for field in template.fields}


def test_filters_in_the_guide_are_those_of_the_language_and_do_what_it_says() -> None:
    listed = rows("Filters")
    assert {name.strip("`") for name, *_ in listed} == set(FILTERS)
    for _, text, result in listed:
        made = compile_template("custom", {"mapping": {"a": text.strip("`")}}, {})
        assert orjson.loads(made.render(SAMPLE))["a"] == json.loads(result.strip("`")), text


def test_limits_in_the_guide_are_those_of_the_code() -> None:
    listed = {name.strip("`"): int(number.replace(",", "")) for name, number, _ in rows("Limits")}
    known = {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}
    assert listed == known
