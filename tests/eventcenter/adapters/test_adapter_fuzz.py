"""Whatever a proven forge sends is answered, never with an error of ours, and what is called an event is kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventcenter.adapters.github import FORM
from eventcenter.envelope import parse_structured
from eventcenter.models import AdapterKind, IdempotencyKey, OutboxMessage
from eventcenter.problems import PROBLEM_JSON
from eventcenter.publishing import find_problems
from tests.eventcenter.adapters import payloads
from tests.eventcenter.adapters.forge import EVENTS, JSON, VALID, ForgeClient
from tests.eventcenter.adapters.mapping import schemas
from tests.eventcenter.sender import kept

pytestmark = pytest.mark.django_db

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KINDS = st.sampled_from(list(AdapterKind))
TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    [
        "",
        "\0",
        "é",
        "https://h/x",
        "no ref",
        "9" * 30,
        "2026-10-05T15:20:53Z",
        "sha256:" + "0f" * 32,
        "v" * 600,
        "1" * 600,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
# Two more of what is sent: Harbor's other format, and an envelope with several events.
SENT = [
    *VALID.items(),
    (AdapterKind.HARBOR, payloads.harbor_cloudevent()),
    (AdapterKind.OCI, payloads.oci(payloads.oci_push(), payloads.oci_push(target__tag="1.3.0"))),
]


@pytest.fixture
def forges(forge: Callable[..., ForgeClient]) -> dict[AdapterKind, ForgeClient]:
    return {kind: forge(kind, prereleases=True) for kind in AdapterKind}


def is_answered(response: HttpResponse, before: tuple[int, int]) -> None:
    """202 or a problem; each id told stands in both tables, and nothing stands there that was not told. What stands there
    is what the consumer will take."""
    assert response.status_code in (202, 400), response.content
    if response.status_code == 400:
        assert response["Content-Type"] == PROBLEM_JSON
        assert json.loads(response.content)["errors"]
        assert kept() == before
        return
    told = json.loads(response.content)
    ids = {UUID(receipt["id"]) for receipt in told.get("events", ())}
    fresh = {UUID(receipt["id"]) for receipt in told.get("events", ()) if not receipt["duplicate"]}
    assert IdempotencyKey.objects.filter(event_id__in=ids).count() == len(ids)
    assert OutboxMessage.objects.filter(pk__in=ids).count() == len(ids)
    assert kept() == (before[0] + len(fresh), before[1] + len(fresh))
    for row in OutboxMessage.objects.filter(pk__in=fresh):
        assert find_problems(parse_structured(bytes(row.body)), "acme", schemas()) == []
    assert "events" in told or told["ignored"]


def places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of a payload."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, held in inner:
        yield (*way, step)
        yield from places(held, (*way, step))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[AdapterKind, Any]:
    """A valid payload with one to three members replaced or taken out."""
    kind, valid = draw(st.sampled_from(SENT))
    payload = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(payload))))
        inner: Any = payload
        for step in way:
            inner = inner[step]
        if draw(st.integers(0, 3)):
            inner[last] = draw(VALUES)
        else:
            del inner[last]
        if not payload:
            break
    return kind, payload


@FUZZ
@given(kind=KINDS, body=st.binary(max_size=200), media_type=st.sampled_from([JSON, EVENTS, FORM, "text/plain", ""]))
def test_any_bytes_are_answered(
    forges: dict[AdapterKind, ForgeClient], kind: AdapterKind, body: bytes, media_type: str
) -> None:
    before = kept()
    is_answered(forges[kind].post(body, media_type), before)


@FUZZ
@given(kind=KINDS, payload=VALUES)
def test_any_json_is_answered(forges: dict[AdapterKind, ForgeClient], kind: AdapterKind, payload: Any) -> None:
    before = kept()
    is_answered(forges[kind].post(payload), before)


@settings(FUZZ, max_examples=300)
@given(sent=mutated())
def test_any_change_of_a_payload_is_answered(
    forges: dict[AdapterKind, ForgeClient], sent: tuple[AdapterKind, Any]
) -> None:
    before = kept()
    is_answered(forges[sent[0]].post(sent[1]), before)


@FUZZ
@given(payload=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_form_is_answered(forges: dict[AdapterKind, ForgeClient], payload: bytes) -> None:
    before = kept()
    is_answered(forges[AdapterKind.GITHUB].post(urlencode({"payload": payload}).encode(), FORM), before)


@FUZZ
@given(
    kind=KINDS,
    headers=st.dictionaries(
        st.sampled_from(
            ["X-GitHub-Event", "X-GitHub-Delivery", "X-Gitlab-Event-UUID", "Idempotency-Key", "traceparent"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=700),
    ),
)
def test_any_headers_are_answered(
    forges: dict[AdapterKind, ForgeClient], kind: AdapterKind, headers: dict[str, str]
) -> None:
    before = kept()
    is_answered(forges[kind].post(VALID[kind], headers=headers), before)


@FUZZ
@given(
    kind=KINDS,
    proof=st.dictionaries(
        st.sampled_from(
            [
                "X-Hub-Signature-256",
                "X-Gitlab-Token",
                "Authorization",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
            ]
        ),
        st.text(st.characters(max_codepoint=255), max_size=80),
    ),
)
def test_any_proof_is_refused(forges: dict[AdapterKind, ForgeClient], kind: AdapterKind, proof: dict[str, str]) -> None:
    response = forges[kind].post(VALID[kind], proof=proof)

    assert response.status_code == 401, response.content
    assert kept() == (0, 0)
