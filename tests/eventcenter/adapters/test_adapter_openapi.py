"""The API's document says what adapters answer: schemathesis makes calls by it and judges the answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3 import HTTPResponse

from eventcenter.models import AdapterKind
from tests.eventcenter.adapters.forge import JSON, VALID, ForgeClient

pytestmark = pytest.mark.django_db

HOST = "http://testserver"
OPERATION = "/internal/events/adapters/{public_id}"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def operation() -> Any:
    document = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    return schemathesis.openapi.from_dict(document)[OPERATION]["POST"]


def sent(case: schemathesis.Case, prove: Callable[[bytes], dict[str, str]]) -> requests.Response:
    """The case through Django's client, in this test's transaction."""
    request = requests.Request(**case.as_transport_kwargs(base_url=HOST)).prepare()
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    media_type = headers.pop("Content-Type", "")
    parts = urlsplit(str(request.url))
    answered = Client(raise_request_exception=False).generic(
        "POST", parts.path, body, content_type=media_type, headers=headers | prove(body)
    )
    raw = HTTPResponse(
        io.BytesIO(answered.content), dict(answered.items()), answered.status_code, preload_content=False
    )
    return HTTPAdapter().build_response(request, raw)


@pytest.mark.parametrize("kind", list(AdapterKind))
def test_answers_are_those_of_the_document(
    forge: Callable[..., ForgeClient], operation: Any, kind: AdapterKind
) -> None:
    hub, statuses = forge(kind), set[int]()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(case=operation.as_strategy(), valid=st.booleans(), proven=st.integers(0, 4), known=st.integers(0, 9))
    def call(case: schemathesis.Case, valid: bool, proven: int, known: int) -> None:
        if known:
            case.path_parameters = {"public_id": hub.adapter.public_id}
        if valid:
            case.body, case.media_type = VALID[kind], JSON
        response = sent(case, hub.proof if proven else lambda body: {})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    call()
    assert {202, 401, 404} <= statuses
