"""Events as senders write them, for the tests of the envelope."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from eventcenter.envelope import EnvelopeError, parse_structured

FULL: dict[str, object] = {
    "specversion": "1.0",
    "id": "rel-2.4.1",
    "source": "/pipelines/release/main",
    "type": "plugin.release.published",
    "subject": "plugins/payments-gateway",
    "time": "2025-11-05T12:00:00.123456Z",
    "datacontenttype": "application/json",
    "dataschema": "https://schemas.event-center.example/plugin.release.published/1.json",
    "tenant": "acme",
    "tags": "stable,region:eu",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "idempotencykey": "rel-payments-2.4.1",
    "partitionkey": "payments",
    "data": {"plugin_id": "payments-gateway"},
}
SMALL: dict[str, object] = {name: FULL[name] for name in ("specversion", "id", "source", "type")}


def structured(**changes: object) -> bytes:
    """The small event with members set, or left out where the value is `...`."""
    members = {**SMALL, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def problems_of(parse: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(EnvelopeError) as caught:
        parse()
    return [(problem.field, problem.message) for problem in caught.value.problems]


def wrong_fields(body: bytes) -> list[str]:
    return [field for field, _ in problems_of(lambda: parse_structured(body))]


def binary(**changes: str) -> dict[str, str]:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/s",
        "ce-type": "t",
        "Content-Type": "application/json",
    }
    return {**headers, **{f"ce-{name}": value for name, value in changes.items()}}


KAFKA = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]
