"""The publish API answers whatever it is sent, and never with an error of ours."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventcenter.problems import PROBLEM_JSON
from tests.eventcenter.sender import (
    BATCH,
    STRUCTURED,
    Sender,
    event,
    kept,
)

pytestmark = pytest.mark.django_db


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [*event(), "time", "tags", "tenant", "dataschema", "datacontenttype", "data_base64", "traceparent"]
)
MEMBERS = st.dictionaries(NAMES | st.text(st.characters(), max_size=22), JSON, min_size=1, max_size=3)
DATA = st.dictionaries(st.sampled_from(list(event()["data"])) | st.text(max_size=5), JSON, min_size=1, max_size=3)
FUZZ = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def is_answered(response: HttpResponse, before: tuple[int, int]) -> None:
    assert response.status_code in (202, 400, 403, 413, 415, 422), response.content
    if response.status_code != 202:
        assert response["Content-Type"] == PROBLEM_JSON
        assert kept() == before


@FUZZ
@given(body=st.binary(max_size=200), content_type=st.sampled_from([STRUCTURED, BATCH, "application/json"]))
def test_any_bytes_are_answered(sender: Sender, body: bytes, content_type: str) -> None:
    is_answered(sender.post(body, content_type), kept())


@FUZZ
@given(changes=MEMBERS)
def test_any_members_are_answered(sender: Sender, changes: dict[str, Any]) -> None:
    is_answered(sender.structured(event(id=str(uuid4())) | changes), kept())


@FUZZ
@given(events=st.lists(JSON | MEMBERS.map(lambda changes: event() | changes), max_size=4))
def test_any_batch_is_answered(sender: Sender, events: list[Any]) -> None:
    is_answered(sender.batch(events), kept())


@FUZZ
@given(changes=DATA)
def test_any_data_is_answered(sender: Sender, changes: dict[str, Any]) -> None:
    made = event()
    is_answered(sender.structured(made | {"data": made["data"] | changes}), kept())


@FUZZ
@given(
    attributes=st.dictionaries(
        st.sampled_from(["id", "source", "type", "subject", "time", "tags", "tenant", "x1"]),
        st.text(st.characters(max_codepoint=255), max_size=20),
    ),
    content_type=st.sampled_from(["application/json", "text/plain", "a/b; charset=x", STRUCTURED + "-x"]),
    data=st.binary(max_size=50) | st.just(json.dumps(event()["data"]).encode()),
)
def test_any_headers_are_answered(sender: Sender, attributes: dict[str, str], content_type: str, data: bytes) -> None:
    base = {"specversion": "1.0", "id": str(uuid4()), "source": "/p", "type": "plugin.release.published"}

    is_answered(sender.binary(base | attributes, data, content_type), kept())
