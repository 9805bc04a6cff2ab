"""The schema and the reader say the same of a file's structure, as far as a schema can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.test import Client
from hypothesis import given, settings

from eventcenter.schemas import compile_schema
from subscriptions.management.commands.sync_subscriptions import DEFAULT_FILE
from subscriptions.yaml_sync import SpecError, read
from subscriptions.yaml_sync.schema import DRAFT, file_schema
from tests.subscriptions.yaml_documents import ENVIRON, Data, files, nearly_files

PUBLISHED = DEFAULT_FILE.with_name("subscriptions.schema.json")
VALIDATOR = jsonschema_rs.Draft202012Validator(file_schema())

# What a schema cannot tell: what stands twice, what a text means, and what a text with a variable comes to.
BEYOND_A_SCHEMA = re.compile(
    r"stands twice|the URL |the host must|the path does not fit|environment variable \w+ is not set"
    r"|a header's name|is set by the Event Center|the value of |a topic's name|the cluster must|a routing key may|integration key"
    r"|printable characters|is no event type|takes waits from|takes a time from|begins with 0|must be valid Unicode"
    r"|this is no (media type|JSON)|a JSON document is needed|the document must be|with a sample event: |it holds a space"
)


def problems_of(data: object) -> list[str]:
    try:
        read(data, ENVIRON)
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_published_schema_is_the_one_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == file_schema(), "run manage.py export_subscriptions --schema --output …"
    assert json.loads(PUBLISHED.read_text())["$schema"] == DRAFT


def test_schema_is_one_that_any_validator_can_use() -> None:
    compile_schema(file_schema())  # no reference outside, and patterns in linear time


def test_file_of_the_repository_fits_and_names_its_schema() -> None:
    text = DEFAULT_FILE.read_text()
    VALIDATOR.validate(yaml.safe_load(text))
    assert text.startswith(f"# yaml-language-server: $schema={PUBLISHED.name}\n")


def test_schema_is_served_to_editors_without_a_sign_in(client: Client) -> None:
    answer = client.get("/schemas/subscriptions.json")
    assert (answer.status_code, answer.json()) == (200, file_schema())
    assert answer["content-type"] == "application/schema+json"


def keys(schema: Any) -> Iterator[tuple[str, Data]]:
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from keys(value)
    if isinstance(schema, dict) and schema.get("additionalProperties") is False:
        yield from schema["properties"].items()


def test_every_key_has_a_description() -> None:
    found = list(keys(file_schema()))
    assert len(found) > 50
    assert [name for name, schema in found if not schema.get("description")] == []


@settings(max_examples=150, deadline=None)
@given(files())
def test_file_is_taken_by_schema_and_reader_when_it_is_valid(data: Data) -> None:
    assert problems_of(data) == []
    assert [f"{error.instance_path}: {error.message}" for error in VALIDATOR.iter_errors(data)] == []


@settings(max_examples=400, deadline=None)
@given(nearly_files())
def test_schema_and_reader_agree_when_one_thing_is_changed(data: Data) -> None:
    refused, problems = not VALIDATOR.is_valid(data), problems_of(data)
    if refused:
        assert problems, [f"{error.instance_path}: {error.message}" for error in VALIDATOR.iter_errors(data)]
    else:
        assert [problem for problem in problems if not BEYOND_A_SCHEMA.search(problem)] == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": True}, "version: takes 1, the version of this format"),
        ({"tenants": {}}, "tenants: takes a list"),
        ({"tenants": [{"slug": "a\n"}]}, "tenants[0].slug: Takes 1–63"),
        (
            {"tenants": [{"slug": "a", "endpoints": [{"slug": "b", "url": "https://x.y", "channel": ""}]}]},
            ".channel: takes",
        ),
        (
            {"tenants": [{"slug": "a", "endpoints": [{"slug": "b", "url": "https://x.y", "template": ""}]}]},
            ".template: takes",
        ),
    ],
)
def test_structure_is_refused_by_both_when_it_is_subtly_wrong(change: Data, problem: str) -> None:
    data = {"version": 1} | change
    assert problem in problems_of(data)[0]
    assert not VALIDATOR.is_valid(data)
