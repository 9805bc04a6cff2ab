"""docs/guides/adapters.md is true: its mapping tables are tried out field by field, its lists are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventcenter.adapters import github, gitlab, harbor, oci
from eventcenter.adapters.forms import AdapterForm
from eventcenter.adapters.message import Reason, Rules
from eventcenter.envelope import wire_attributes
from tests.eventcenter.adapters import payloads
from tests.eventcenter.adapters.mapping import RULES, Read, message, published

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "adapters.md").read_text()
CONSTANT = {"specversion", "type", "datacontenttype", "tenant", "data.tenant"}
ANY = replace(RULES, prereleases=True)
OTHER = "sha256:" + "3c" * 32
VERSIONS = ["1.3.0", "v2.0.0b1"]
EVENT = {"X_GitHub_Event": "release"}
# Heading → how it is read, what is sent, and the table's place → other values that are as valid there.
FORGES: dict[str, tuple[Read, Any, dict[str, list[Any]]]] = {
    "GitHub": (
        github.read,
        payloads.github(),
        {
            "repository.full_name": ["acme/other"],
            "repository.html_url": ["https://github.com/acme/other"],
            "repository.id": [7],
            "release.id": [7],
            "release.tag_name": VERSIONS,
            "release.prerelease": [True],
            "release.published_at": ["2026-10-06T00:00:00+02:00"],
            "release.author.login": ["someone"],
            "release.html_url": ["https://github.com/acme/x/releases/tag/v1"],
            "release.target_commitish": ["0" * 40, "main"],
            "release.assets[].digest": [OTHER],
            "release.assets[].browser_download_url": ["https://github.com/x.tgz"],
            "release.assets[].name": ["x.tgz"],
            "X-GitHub-Delivery": ["a", "b"],
        },
    ),
    "GitLab": (
        gitlab.read,
        payloads.gitlab(assets__links=payloads.gitlab()["assets"]["links"][1:]),
        {
            "project.path_with_namespace": ["acme/other"],
            "project.web_url": ["https://gitlab.example.com/acme/other"],
            "project.id": [7],
            "id": [7],
            "tag": VERSIONS,
            "released_at": ["2026-11-01 00:00:00 UTC"],
            "commit.author.name": ["Someone"],
            "commit.id": ["0" * 40],
            "url": ["https://gitlab.example.com/x"],
            "assets.links[].url": [f"https://packages.example.com/x.tgz#sha256={OTHER[7:]}"],
            "assets.links[].name": ["x.tgz"],
            "X-Gitlab-Event-UUID": ["a", "b"],
        },
    ),
    "OCI registry": (
        oci.read,
        payloads.oci(),
        {
            "target.repository": ["acme/other"],
            "request.host": ["other.example.com"],
            "target.tag": VERSIONS,
            "target.digest": [OTHER],
            "target.url": ["https://other.example.com/v2/x"],
            "timestamp": ["2026-03-10T00:00:00Z"],
            "actor.name": ["someone"],
            "id": ["another"],
        },
    ),
    "Harbor": (
        harbor.read,
        payloads.harbor(),
        {
            "event_data.repository.repo_full_name": ["plugins/other"],
            "event_data.resources[].resource_url": ["other.example.com/plugins/pytest-celery:1.2.0"],
            "event_data.resources[].tag": VERSIONS,
            "event_data.resources[].digest": [OTHER],
            "occur_at": [1586922309],
            "operator": ["someone"],
        },
    ),
}


def rows(heading: str) -> list[list[str]]:
    """The first table under a heading, its head and rule left out."""
    section = GUIDE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for inner, held in value.items():
        yield from flat(held, f"{name}.{inner}")


def event_fields(heading: str, payload: Any, headers: dict[str, str]) -> dict[str, Any]:
    """Every attribute and every field of the data, by its path."""
    envelope, data = published(FORGES[heading][0](message(payload, **EVENT | headers), ANY)[0])
    return wire_attributes(envelope) | dict(flat(data, "data"))


def with_value(payload: Any, place: str, value: Any) -> Any:
    """A copy with another value at the table's place; `[]` is the first item. A registry's place is within an event."""
    path = place.replace("[]", ".0")
    whole = f"events.0.{path}" if "events" in payload else path
    return payloads.changed(payload, **{whole.replace(".", "__"): value})


def varied(heading: str, place: str) -> set[str]:
    """What of the event changes with the values of one place."""
    _, payload, alternatives = FORGES[heading]
    before = event_fields(heading, payload, {})
    found: set[str] = set()
    for value in alternatives[place]:
        is_header = place.startswith("X-")
        headers = {place.replace("-", "_"): value} if is_header else {}
        after = event_fields(heading, payload if is_header else with_value(payload, place, value), headers)
        found |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return found


@pytest.mark.parametrize(
    ("heading", "place", "becomes"),
    [(heading, names(place)[0], set(names(becomes))) for heading in FORGES for place, becomes, _ in rows(heading)],
)
def test_place_of_a_payload_becomes_what_the_table_says(heading: str, place: str, becomes: set[str]) -> None:
    assert varied(heading, place) == becomes


@pytest.mark.parametrize("heading", FORGES)
def test_every_field_of_the_event_stands_in_the_table(heading: str) -> None:
    listed = {name for _, becomes, _ in rows(heading) for name in names(becomes)}
    _, payload, alternatives = FORGES[heading]
    assert set(event_fields(heading, payload, {})) - CONSTANT <= listed
    assert [names(place)[0] for place, *_ in rows(heading)] == list(alternatives)


def test_reasons_of_the_guide_are_those_of_the_code() -> None:
    assert [names(reason)[0] for reason, _ in rows("Reasons")] == [reason.value for reason in Reason]


def test_rules_of_the_guide_are_the_forms() -> None:
    labels = {field.label or name.replace("_", " ").capitalize() for name, field in AdapterForm.base_fields.items()}
    assert {label for label, *_ in rows("Rules")} == labels - {"Tenant", "Kind", "Name", "Active"}
    assert len(rows("Rules")) == len(Rules.__dataclass_fields__) - 1  # the tenant
