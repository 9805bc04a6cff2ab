"""Runs one forge's mapping on a payload, without a database, and holds the result against the type's schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from eventcenter.adapters.message import Ignored, Message, Reason, Rules
from eventcenter.envelope import Envelope
from eventcenter.publishing import find_problems
from eventcenter.registry import SCHEMA_DIRECTORY
from eventcenter.schemas import SchemaSet, load_schemas

TENANT = "acme"
RULES = Rules(TENANT)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Read = Callable[[Message, Rules], list[Envelope | Ignored]]


@cache
def schemas() -> SchemaSet:
    return SchemaSet(load_schemas(SCHEMA_DIRECTORY))


def message(payload: Any, media_type: str = "application/json", /, **headers: str) -> Message:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message({name.replace("_", "-"): value for name, value in headers.items()}, body, media_type, NOW)


def published(result: Envelope | Ignored) -> tuple[Envelope, dict[str, Any]]:
    """The event and its data, which the schema takes."""
    assert isinstance(result, Envelope), result
    assert find_problems(result, TENANT, schemas()) == []
    data: dict[str, Any] = json.loads(result.data)
    return result, data


def reason(result: Envelope | Ignored) -> Reason:
    assert isinstance(result, Ignored), result
    assert result.detail
    return result.reason
