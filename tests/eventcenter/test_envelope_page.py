"""docs/standards/events/event-bus-schema.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from eventcenter.envelope import (
    ATTRIBUTES,
    DEFAULT_CONTENT_TYPE,
    V1_BATCH_CONTENT_TYPE,
    V1_CONTENT_TYPE,
    Envelope,
    parse_batch,
    parse_binary,
    parse_structured,
    parse_v1,
)
from eventcenter.envelope.attributes import MAX_EXTENSIONS, MAX_TAG_CHARS, MAX_TAGS, MAX_TEXT_CHARS
from eventcenter.envelope.payload import MAX_DATA_DEPTH
from eventcenter.envelope.v1 import MEMBERS, OTHER_MEMBERS
from eventcenter.schemas import EventTypeSchema, SchemaSet, load_schemas

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "standards" / "events" / "event-bus-schema.md").read_text()
V1_SCHEMA = ROOT / "docs" / "standards" / "events" / "event-envelope-v1.schema.json"
SCHEMAS = load_schemas(ROOT / "config" / "events" / "schemas")


def section(heading: str) -> str:
    """From a heading to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def table(heading: str) -> list[list[str]]:
    rows = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def schema_rows(schema: dict[str, Any], prefix: str = "") -> list[list[str]]:
    rows = []
    for name, value in schema["properties"].items():
        types = [value["type"]] if isinstance(value["type"], str) else value["type"]
        takes = value["description"] + (f": {', '.join(value['enum'])}" if "enum" in value else "")
        rows.append([prefix + name, " or ".join(types), "yes" if name in schema["required"] else "no", takes])
        if "properties" in value:
            rows += schema_rows(value, f"{prefix}{name}.")
    return rows


def code(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_attribute_table_has_the_codes_attributes() -> None:
    expected = [
        [name, "extension" if attribute.extension else "standard", "yes" if attribute.required else "no"]
        for name, attribute in ATTRIBUTES.items()
    ]

    assert [row[:3] for row in table("Attributes")] == expected
    assert {*ATTRIBUTES, "extensions", "data"} - {"specversion"} == set(Envelope.__struct_fields__)


def test_the_v1_table_has_the_codes_members_and_its_schemas() -> None:
    rows = table("The v1 envelope")
    schema = json.loads(V1_SCHEMA.read_text())

    assert [row[0] for row in rows] == list(schema["properties"])
    assert set(schema["properties"]) == {*MEMBERS, *OTHER_MEMBERS}
    assert {row[0]: row[1] for row in rows if row[0] in MEMBERS} == MEMBERS
    assert [row[0] for row in rows if row[2] == "yes"] == schema["required"]
    assert all(
        f"`Content-Type: {kind}`" in section("The v1 envelope") for kind in (V1_CONTENT_TYPE, V1_BATCH_CONTENT_TYPE)
    )


def test_the_limits_are_the_codes_limits() -> None:
    assert f"1 to {MAX_TEXT_CHARS} characters" in section("Attributes")
    assert f"up to {MAX_EXTENSIONS}:" in section("Attributes")
    assert f"At most {MAX_TAGS} tags,\neach 1 to {MAX_TAG_CHARS} characters" in section("Tags")
    assert f"at most {MAX_DATA_DEPTH} arrays" in section("Data")


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_event_types_table_has_its_schemas_members(schema: EventTypeSchema) -> None:
    heading = f"`{schema.type}` version {schema.version}"

    assert table(heading) == schema_rows(schema.schema)
    assert schema.description in section(heading)


def test_every_event_type_of_the_page_has_a_schema() -> None:
    headings = re.findall(r"^### `(.+)` version (\d+)$", PAGE, re.MULTILINE)

    assert headings == [(schema.type, str(schema.version)) for schema in SCHEMAS]


def test_the_examples_are_events_that_are_taken() -> None:
    structured, batch, v1, problem = code("json")
    head, _, body = code("http")[0].partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    events = [parse_structured(structured.encode()), *parse_batch(batch.encode()), parse_binary(headers, body.encode())]
    events.append(parse_v1(v1.encode()))
    schemas = SchemaSet(SCHEMAS)

    assert [event.id for event in events] == ["release-4711", "withdrawal-12", "withdrawal-13", "withdrawal-14"]
    for event in events:
        assert schemas.problems(event.type, event.dataschema, DEFAULT_CONTENT_TYPE, event.data, "acme") == []
    assert json.loads(problem)["errors"]
