"""The event types as shipped, and how a set of schemas judges an event's data."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from eventcenter.envelope import DEFAULT_CONTENT_TYPE, FieldProblem
from eventcenter.schemas import MAX_PROBLEMS_AN_EVENT, EventTypeSchema, SchemaError, SchemaSet, load_schemas

SHIPPED = load_schemas(Path(__file__).parents[2] / "config" / "events" / "schemas")
PUBLISHED = "plugin.release.published"


@pytest.fixture(scope="module")
def shipped() -> SchemaSet:
    return SchemaSet(SHIPPED)


def example(event_type: str = PUBLISHED) -> dict[str, Any]:
    schema = next(schema.schema for schema in SHIPPED if schema.type == event_type)
    return copy.deepcopy(dict(schema["examples"][0]))


def judge(schemas: SchemaSet, data: object, tenant: str | None = None) -> list[FieldProblem]:
    return schemas.problems(PUBLISHED, None, DEFAULT_CONTENT_TYPE, json.dumps(data).encode(), tenant)


def versions(*numbers: int) -> SchemaSet:
    """One type whose version N requires the member vN."""
    return SchemaSet(EventTypeSchema("a.b", number, "", {"required": [f"v{number}"]}) for number in numbers)


def properties(schema: dict[str, Any], prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, value in schema.get("properties", {}).items():
        found += [(prefix + name, value), *properties(value, f"{prefix}{name}.")]
    return found


def test_the_shipped_types_are_these() -> None:
    assert [str(schema) for schema in SHIPPED] == [
        "endpoint.disabled v1",
        "endpoint.failing v1",
        "event.delivery.failed v1",
        "ops.alert.firing v1",
        "ops.alert.resolved v1",
        "plugin.release.published v1",
        "plugin.release.withdrawn v1",
        "signing_key.rotation_due v1",
    ]


@pytest.mark.parametrize("schema", SHIPPED, ids=str)
def test_every_shipped_schema_explains_itself(schema: EventTypeSchema, shipped: SchemaSet) -> None:
    assert schema.schema["$id"].endswith(f"/{schema.type}/{schema.version}.json")
    assert schema.description == schema.schema["description"]
    assert schema.schema["title"]
    for name, value in properties(schema.schema):
        assert value["description"], name
        for shown in value["examples"]:
            alone = {**schema.schema["examples"][0]}
            if "." not in name:
                alone[name] = shown
            raw = json.dumps(alone).encode()
            assert shipped.problems(schema.type, schema.schema["$id"], DEFAULT_CONTENT_TYPE, raw) == [], name


@pytest.mark.parametrize("schema", SHIPPED, ids=str)
def test_more_members_are_taken_so_that_publishers_can_be_ahead(schema: EventTypeSchema, shipped: SchemaSet) -> None:
    raw = json.dumps({**schema.schema["examples"][0], "new_member": {"any": 1}}).encode()

    assert shipped.problems(schema.type, None, DEFAULT_CONTENT_TYPE, raw) == []


@pytest.mark.parametrize("schema", SHIPPED, ids=str)
def test_each_required_member_is_named_when_it_is_missing(schema: EventTypeSchema, shipped: SchemaSet) -> None:
    found = shipped.problems(schema.type, None, DEFAULT_CONTENT_TYPE, b"{}")

    assert {problem.field for problem in found} == {f"data.{name}" for name in schema.schema["required"]}
    assert all(problem.message.startswith("is required. ") for problem in found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plugin_id", "Payments Gateway"),
        ("plugin_id", "a" * 129),
        ("plugin_id", 5),
        ("version", "2 4"),
        ("version", "-rc1"),
        ("channel", "prod"),
        ("tenant", "ACME"),
        ("artifact", "sha256:00"),
        ("artifact.digest", "sha256:" + "F" * 64),
        ("artifact.digest", "sha256:" + "f" * 63),
        ("artifact.digest", "sha256:" + "f" * 64 + "\n"),
        ("artifact.url", "ftp://host/a"),
        ("artifact.url", "https://host/a b"),
        ("changelog_url", "javascript:alert(1)"),
        ("released_by", ""),
        ("released_at", "2025-11-05T12:00:00"),
        ("released_at", "yesterday"),
        ("commit", "8D1B5EA"),
        ("severity", "urgent"),
    ],
)
def test_the_path_is_named_when_a_member_is_wrong(shipped: SchemaSet, path: str, value: object) -> None:
    data = example()
    *parents, name = path.split(".")
    holder = data
    for parent in parents:
        holder = holder[parent]
    holder[name] = value

    assert {problem.field for problem in judge(shipped, data)} == {f"data.{path}"}


def test_a_message_says_what_the_member_takes_and_not_what_was_sent(shipped: SchemaSet) -> None:
    data = {**example(), "channel": "hush-hush"}

    assert judge(shipped, data) == [
        FieldProblem(
            "data.channel",
            'must be one of stable, candidate, beta, nightly. The release channel, for example "stable"',
        )
    ]


def test_all_wrong_members_are_named_when_several_are_wrong(shipped: SchemaSet) -> None:
    data = {**example(), "version": 1, "severity": "x", "artifact": {"url": 5}}

    assert sorted(problem.field for problem in judge(shipped, data)) == [
        "data.artifact.digest",
        "data.artifact.url",
        "data.severity",
        "data.version",
    ]


def test_the_list_of_problems_is_cut_when_it_is_long() -> None:
    schemas = SchemaSet([EventTypeSchema(PUBLISHED, 1, "", {"items": {"type": "string"}})])

    assert len(judge(schemas, list(range(1_000)))) == MAX_PROBLEMS_AN_EVENT
    assert judge(schemas, ["a", 1])[0].field == "data[1]"


def test_data_of_another_tenant_is_refused(shipped: SchemaSet) -> None:
    assert judge(shipped, example(), "acme") == []
    assert [problem.field for problem in judge(shipped, example(), "globex")] == ["data.tenant"]


@pytest.mark.parametrize(
    ("raw", "repeated"),
    [
        (b'{"a":1,"a":1}', "a"),
        (b'{"x":[{"b":{"k":1},"b":2}]}', "b"),
        (b'{"q":"\\u0022\\u0022","a":1,"\\u0061":2}', "a"),
    ],
)
def test_a_repeated_member_of_the_data_is_named(raw: bytes, repeated: str) -> None:
    schemas = SchemaSet([EventTypeSchema("t", 1, "", {})])

    assert schemas.problems("t", None, DEFAULT_CONTENT_TYPE, raw) == [
        FieldProblem("data", f'must not have the member "{repeated}" more than once in one object')
    ]


@pytest.mark.parametrize(
    "raw", [b'{"a":{"b":1},"b":{"a":2}}', b'{"a":"\\"b\\"\\u0022","b":"\\u00e9"}', b"1", b'"\\u0022"']
)
def test_data_without_repeats_is_taken(raw: bytes) -> None:
    assert SchemaSet([EventTypeSchema("t", 1, "", {})]).problems("t", None, DEFAULT_CONTENT_TYPE, raw) == []


@pytest.mark.parametrize(
    ("content_type", "raw", "field"),
    [
        ("text/plain", b"{}", "datacontenttype"),
        ("nonsense", b"{}", "datacontenttype"),
        ("application/json", b"", "data"),
        ("application/json", b'{"n":1e999}', "data"),
        ("application/json; charset=utf-8", b"[]", "data"),
    ],
)
def test_data_that_is_no_usable_json_is_refused(shipped: SchemaSet, content_type: str, raw: bytes, field: str) -> None:
    assert [problem.field for problem in shipped.problems(PUBLISHED, None, content_type, raw)] == [field]


def test_the_newest_version_judges_when_none_is_named() -> None:
    assert versions(1, 2, 10).version_for("a.b", None) == 10
    assert versions(1, 2).problems("a.b", None, DEFAULT_CONTENT_TYPE, b"{}")[0].field == "data.v2"


@pytest.mark.parametrize(
    ("dataschema", "version"),
    [
        ("https://schemas.event-center.example/a.b/1.json", 1),
        ("https://elsewhere.example/x/a.b/2.json#/definitions/x", 2),
        ("https://elsewhere.example/a.b/1.json?inline=1", 1),
        ("https://elsewhere.example/a.b/3.json", None),
        ("https://elsewhere.example/a.c/1.json", None),
        ("https://elsewhere.example/a.b/01.json", None),
        ("https://elsewhere.example/#/a.b/1.json", 1),
        ("urn:a.b:1", None),
    ],
)
def test_dataschema_names_the_version_by_its_end(dataschema: str, version: int | None) -> None:
    assert versions(1, 2).version_for("a.b", dataschema) == version


def test_dataschema_is_named_when_it_names_no_known_version() -> None:
    (problem,) = versions(1, 2).problems("a.b", "https://x.example/a.b/7.json", DEFAULT_CONTENT_TYPE, b"{}")

    assert problem.field == "dataschema"
    assert problem.message.endswith("/a.b/1.json, /a.b/2.json")


def test_an_unknown_type_is_told_apart(shipped: SchemaSet) -> None:
    assert shipped.knows(PUBLISHED)
    assert not shipped.knows("plugin.release")
    assert shipped.problems("plugin.release", None, DEFAULT_CONTENT_TYPE, b"{}")[0].field == "type"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/nowhere"},
        {"format": "no-such-format"},
        {"pattern": "(?=lookahead)"},
    ],
)
def test_a_schema_that_cannot_be_used_is_named(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=r"^a\.b v3: "):
        SchemaSet([EventTypeSchema("a.b", 3, "", schema)])


@pytest.mark.parametrize(
    ("name", "content"),
    [("latest.json", "{}"), ("0.json", "{}"), ("1.json", "["), ("1.json", "[]"), ("1.json", '{"type": 5}')],
)
def test_a_schema_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "a.b").mkdir()
    (tmp_path / "a.b" / name).write_text(content)

    with pytest.raises(SchemaError, match=f"a.b/{name}"):
        load_schemas(tmp_path)


def test_schema_files_come_by_type_and_number(tmp_path: Path) -> None:
    for path in ("b/2.json", "b/10.json", "a/1.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text('{"title": "T"}')

    assert [str(schema) for schema in load_schemas(tmp_path)] == ["a v1", "b v2", "b v10"]
    assert load_schemas(tmp_path)[0].description == "T"


@pytest.mark.parametrize(
    ("version", "kept"),
    [("1.4.0", "1.4.0"), ("1" * 100, "1" * 100), ("1" * 101, ""), ("1.0\n", ""), ("1\x000", ""), (7, ""), (None, "")],
)
def test_version_is_kept_when_somebody_could_search_for_it(version: object, kept: str) -> None:
    schemas = SchemaSet([EventTypeSchema("t", 1, "", {})])

    assert schemas.judge("t", None, DEFAULT_CONTENT_TYPE, json.dumps({"version": version}).encode()).version == kept
    assert schemas.judge("t", None, DEFAULT_CONTENT_TYPE, b"[]").version == ""
