"""Event types and the JSON Schemas of their data: a compiled set that says what is wrong with a payload.

Pure, but for `load_schemas`, which reads the files of one directory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import getitem
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from eventcenter.envelope import DEFAULT_CONTENT_TYPE, FieldProblem, RefusedError, media_type, shown_name

JsonObject = dict[str, Any]

# Enough to mend an event by; schemas nest little, so a valid pipeline never comes near.
MAX_PROBLEMS_AN_EVENT = 50
# A version that is kept apart, to be found by. Real ones have some 10 characters.
VERSION_LENGTH_MOST = 100

_FILE_NAME = re.compile(r"[1-9][0-9]{0,3}\.json")
_DATASCHEMA_PATH = re.compile(r"/([^/?#]+)/([1-9][0-9]{0,3})\.json(?:[?#].*)?$")

# What a keyword asks for, where its parameter reads well; the property's own description says the rest.
_ASKS = {
    "type": "must be of JSON type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minLength": "must be at least {} characters long",
    "maxLength": "must be at most {} characters long",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} members",
    "maxProperties": "must have at most {} members",
    "format": "must be a valid {}",
    "uniqueItems": "must not repeat an item",
    "required": "is required",
}


class SchemaError(ValueError):
    """A schema (or its file) cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class EventTypeSchema:
    """One version of one event type. `schema` is JSON Schema 2020-12 of the event's data."""

    type: str
    version: int
    description: str
    schema: JsonObject

    def __str__(self) -> str:
        return f"{self.type} v{self.version}"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is wrong with an event's data, if anything; and the release's version that it names, if it does."""

    problems: list[FieldProblem]
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Compiled:
    schema: JsonObject
    validator: jsonschema_rs.Validator


def load_schemas(directory: Path) -> list[EventTypeSchema]:
    """What lies in `directory` as <type>/<version>.json, by type and version. Raises SchemaError."""
    found = [_load(path) for path in directory.glob("*/*.json")]
    return sorted(found, key=lambda schema: (schema.type, schema.version))


def _load(path: Path) -> EventTypeSchema:
    where = f"{path.parent.name}/{path.name}"
    if not _FILE_NAME.fullmatch(path.name):
        raise SchemaError(f"{where}: the file's name must be the version, such as 1.json")
    try:
        schema = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{where}: is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise SchemaError(f"{where}: must be a JSON object")
    try:
        compile_schema(schema)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error
    description = str(schema.get("description") or schema.get("title") or "")
    return EventTypeSchema(path.parent.name, int(path.stem), description, schema)


def compile_schema(schema: JsonObject) -> jsonschema_rs.Validator:
    """Raises SchemaError. No reference leaves the schema, and patterns run in linear time (so they know no lookaround):
    whoever may edit a schema must not be able to make us fetch an address or hang on an event."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"is no usable JSON Schema 2020-12: {str(error).splitlines()[0]}") from error


class SchemaSet:
    """The active schemas of a deployment, compiled once; immutable, shared by threads."""

    def __init__(self, schemas: Iterable[EventTypeSchema]) -> None:
        """Raises SchemaError when one cannot be compiled."""
        self._versions: dict[str, dict[int, _Compiled]] = {}
        for schema in schemas:
            try:
                compiled = _Compiled(schema.schema, compile_schema(schema.schema))
            except SchemaError as error:
                raise SchemaError(f"{schema}: {error}") from error
            self._versions.setdefault(schema.type, {})[schema.version] = compiled
        self._newest = {name: max(versions) for name, versions in self._versions.items()}

    def knows(self, event_type: str) -> bool:
        return event_type in self._newest

    def version_for(self, event_type: str, dataschema: str | None) -> int | None:
        """The version that an event is judged by: what `dataschema` names, else the newest; None when there is none."""
        if dataschema is None:
            return self._newest.get(event_type)
        match = _DATASCHEMA_PATH.search(dataschema)
        if match is None or match[1] != event_type:
            return None
        version = int(match[2])
        return version if version in self._versions.get(event_type, ()) else None

    def problems(
        self, event_type: str, dataschema: str | None, datacontenttype: str, data: bytes, tenant: str | None = None
    ) -> list[FieldProblem]:
        """What is wrong with an event's data; empty when nothing is. An unknown type is the caller's to ask (`knows`)
        and to answer in its own way; here it is one problem of `type`. With `tenant`, data that names another is wrong.
        """
        return self.judge(event_type, dataschema, datacontenttype, data, tenant).problems

    def judge(
        self, event_type: str, dataschema: str | None, datacontenttype: str, data: bytes, tenant: str | None = None
    ) -> Judged:
        """The same, and what is to be kept of the data, which is read once."""
        version = self.version_for(event_type, dataschema)
        if version is None:
            return Judged([self._no_version(event_type)])
        if datacontenttype != DEFAULT_CONTENT_TYPE and not _is_json(datacontenttype):
            takes = f"must be a JSON type such as {DEFAULT_CONTENT_TYPE} for {event_type}"
            return Judged([FieldProblem("datacontenttype", takes)])
        if not data:
            return Judged([FieldProblem("data", "is required")])
        try:
            instance = orjson.loads(data)
        except orjson.JSONDecodeError:
            return Judged([FieldProblem("data", "must be JSON with numbers in the range of a double")])
        found = _data_problems(self._versions[event_type][version], data, instance, tenant)
        return Judged(list(islice(found, MAX_PROBLEMS_AN_EVENT)), release_version(instance))

    def _no_version(self, event_type: str) -> FieldProblem:
        versions = sorted(self._versions.get(event_type, ()))
        if not versions:
            return FieldProblem("type", "is not a registered event type")
        endings = ", ".join(f"/{event_type}/{version}.json" for version in versions)
        return FieldProblem("dataschema", f"must be left out, or be a URI that ends with one of {endings}")


def _is_json(datacontenttype: str) -> bool:
    try:
        return media_type(datacontenttype).is_json
    except RefusedError:
        return False


def release_version(data: object) -> str:
    """`data.version` where somebody could search for it: text on one line, not too long; else ""."""
    version = data.get("version") if isinstance(data, dict) else None
    is_one = isinstance(version, str) and len(version) <= VERSION_LENGTH_MOST and version.isprintable()
    return version if is_one else ""


def _data_problems(compiled: _Compiled, data: bytes, instance: object, tenant: str | None) -> Iterator[FieldProblem]:
    for name in _repeated(data, instance):
        yield FieldProblem("data", f'must not have the member "{name}" more than once in one object')
    if tenant is not None and isinstance(instance, dict) and instance.get("tenant", tenant) != tenant:
        yield FieldProblem("data.tenant", "must be the event's own tenant")
    if not compiled.validator.is_valid(instance):
        for error in compiled.validator.iter_errors(instance):
            yield _as_problem(error, compiled.schema)


def _repeated(data: bytes, instance: object) -> list[str]:
    """Names that stand twice in one object of the data. Readers differ in which of the two they take, so a subscriber
    could act on a value that no schema has seen. Written again, data without repeats has the same number of quotes."""
    if b"\\u0022" not in data and orjson.dumps(instance).count(b'"') == data.count(b'"'):
        return []
    repeated: dict[str, None] = {}

    def note(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                repeated[shown_name(name)] = None
            seen.add(name)

    json.loads(data, object_pairs_hook=note, parse_int=str, parse_float=str)
    return list(repeated)


def _as_problem(error: jsonschema_rs.ValidationError, schema: JsonObject) -> FieldProblem:
    path = list(error.instance_path)
    keyword = error.kind.name
    property_schema = _at(schema, list(error.schema_path)[:-1])
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
        missing = error.kind.property
        path.append(missing)
        property_schema = _at(property_schema, ["properties", missing])
    return FieldProblem(_dotted(path), _sentence(keyword, error.kind.as_dict(), property_schema))


def _at(schema: Any, path: Iterable[str | int]) -> object:
    """What the schema has at the path; an empty object where a reference makes the path lead nowhere."""
    try:
        return reduce(getitem, path, schema)
    except (KeyError, IndexError, TypeError):
        return {}


def _dotted(path: list[str | int]) -> str:
    return "data" + "".join(f"[{step}]" if isinstance(step, int) else f".{shown_name(step)}" for step in path)


def _sentence(keyword: str, parameters: JsonObject, property_schema: object) -> str:
    """What the place takes, in the schema author's words; never the value that was sent."""
    asks = _ASKS.get(keyword, "has the wrong form").format(_readable(next(iter(parameters.values()), "")))
    if not isinstance(property_schema, dict) or "description" not in property_schema:
        return asks
    description = str(property_schema["description"]).rstrip(".")
    example = next(iter(property_schema.get("examples", ())), None)
    shown = f", for example {orjson.dumps(example).decode()}" if isinstance(example, str | int) else ""
    return f"{asks}. {description}{shown}"


def _readable(parameter: object) -> str:
    if isinstance(parameter, list):
        return ", ".join(str(item) for item in parameter)
    return str(parameter)
