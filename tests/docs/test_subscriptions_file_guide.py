"""docs/guides/subscriptions-file.md is true: its tables are the schema's, its options the commands', its example a valid file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import load_command_class
from django.core.management.base import BaseCommand

from subscriptions.yaml_sync import read
from subscriptions.yaml_sync.schema import file_schema

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "subscriptions-file.md").read_text()
SCHEMA: Any = file_schema()


def rows(heading: str) -> list[tuple[str, ...]]:
    """The first table under a heading, its head and rule left out."""
    section = re.split(r"\n#+ ", GUIDE.split(f"# {heading}\n", 1)[1], maxsplit=1)[0]
    lines = re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE)[0].splitlines()
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def keys_of(schema: Any) -> list[tuple[str, ...]]:
    needed = schema.get("required", [])
    return [
        (f"`{name}`", "yes" if name in needed else "", about["description"])
        for name, about in schema["properties"].items()
    ]


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("The file", SCHEMA),
        ("A tenant", SCHEMA["$defs"]["tenant"]),
        ("An endpoint", SCHEMA["$defs"]["endpoint"]),
        ("A subscription", SCHEMA["$defs"]["subscription"]),
        ("A filter", SCHEMA["$defs"]["filter"]),
        ("A retry policy", SCHEMA["$defs"]["policy_fields"]),
    ],
)
def test_table_is_the_schemas(heading: str, schema: Any) -> None:
    assert rows(heading) == keys_of(schema)


@pytest.mark.parametrize(
    ("heading", "chosen_by", "group"),
    [("Settings of a channel", "channel", "settings"), ("Parameters of a template", "template", "template_params")],
)
def test_table_of_settings_is_the_schemas(heading: str, chosen_by: str, group: str) -> None:
    expected = []
    for rule in SCHEMA["$defs"]["endpoint"]["allOf"]:
        name = rule["if"]["properties"].get(chosen_by, {}).get("const")
        settings = rule["then"]["properties"].get(group, {})
        expected += [(f"`{name}`", *row) for row in keys_of(settings)] if name and settings.get("properties") else []
    assert rows(heading) == expected


@pytest.mark.parametrize("command", ["sync_subscriptions", "export_subscriptions"])
def test_table_of_options_is_the_commands(command: str) -> None:
    made = load_command_class("subscriptions", command)
    known = {option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings}
    own = [action.option_strings[0] for action in made.create_parser("", "")._actions if action.option_strings]
    listed = [name for name, *_ in rows(f"`{command}`")]
    assert sorted(option.strip("`").split(" ")[0] for option in listed) == sorted(set(own) - known)


def test_example_is_a_file_that_is_taken() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert read(yaml.safe_load(example), {"HOOKS": "https://hooks.example.com", "CI_TOKEN": "x"}).tenants
