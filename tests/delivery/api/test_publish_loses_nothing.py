"""Whatever is sent to the publish call: no error of ours, and what is answered 202 is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.http import HttpResponse
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventcenter import bus
from eventcenter.access.roles import Permission
from eventcenter.models import EventType, IdempotencyKey, OutboxMessage
from eventcenter.problems import PROBLEM_JSON
from subscriptions.models import Tenant
from tests.eventcenter.sender import BATCH, STRUCTURED, URL, Sender, event, new_sender
from tests.eventcenter.test_publish_fuzz import DATA, MEMBERS
from tests.factories import ApiKeyFactory, TenantFactory, text_of

pytestmark = pytest.mark.django_db
Post = Callable[[bytes, str, dict[str, str]], HttpResponse]

EVENTS = st.builds(
    lambda members, data: event() | {"data": event()["data"] | data} | members,
    st.just({}) | MEMBERS,
    st.just({}) | DATA,
)
SENT = st.one_of(
    st.tuples(st.just(STRUCTURED), EVENTS),
    st.tuples(st.just(BATCH), st.lists(EVENTS, max_size=4)),
    st.tuples(st.just("application/json"), EVENTS.map(lambda made: made.get("data"))),  # binary mode
)
IDS = st.integers(0, 40).map(lambda number: f"fuzz-{number}")  # few, so that some come again


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def signed(acme: Tenant) -> Post:
    sender: Sender = new_sender("acme")
    return lambda body, content_type, headers: sender.post(body, content_type, headers)


def bearer(acme: Tenant, *scopes: str) -> Post:
    authorization = f"Bearer {text_of(ApiKeyFactory(tenant=acme, scopes=list(scopes)))}"
    client = Client(raise_request_exception=False)

    def post(body: bytes, content_type: str, headers: dict[str, str]) -> HttpResponse:
        named = {"authorization": authorization, **headers}
        return client.post(URL, body, content_type="a/b", headers=named, CONTENT_TYPE=content_type)

    return post


@pytest.fixture
def keyed(acme: Tenant) -> Post:
    return bearer(acme, Permission.PUBLISH)


@pytest.fixture
def registered(event_types: list[EventType], topic: str) -> Iterator[None]:
    yield
    bus.close_outbox_producer(timeout_s=10)


@pytest.mark.parametrize("way", ["signed", "keyed"])
def test_everything_that_was_accepted_is_kept(request: pytest.FixtureRequest, registered: None, way: str) -> None:
    post: Post = request.getfixturevalue(way)
    accepted: set[UUID] = set()

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(sent=SENT, named=IDS)
    def send(sent: tuple[str, Any], named: str) -> None:
        content_type, body = sent
        if content_type == STRUCTURED:
            body["id"] = named
        headers = {"ce-specversion": "1.0", "ce-id": named, "ce-source": "/fuzz", "ce-type": "plugin.release.published"}
        response = post(json.dumps(body).encode(), content_type, headers if content_type == "application/json" else {})
        assert response.status_code in (202, 400, 403, 413, 415, 422), response.content
        if response.status_code == 202:
            accepted.update(UUID(receipt["id"]) for receipt in json.loads(response.content)["events"])
        else:
            assert response["Content-Type"] == PROBLEM_JSON

    send()
    assert len(accepted) > 20, "the walk reaches what is accepted"
    assert set(IdempotencyKey.objects.values_list("event_id", flat=True)) == accepted
    assert set(OutboxMessage.objects.values_list("id", flat=True)) == accepted


# --- API keys ---


def test_api_key_publishes_for_its_tenant(registered: None, keyed: Post) -> None:
    response = keyed(json.dumps(event()).encode(), STRUCTURED, {})
    assert response.status_code == 202, response.content
    foreign = keyed(json.dumps(event("other") | {"tenant": "other"}).encode(), STRUCTURED, {})
    assert foreign.status_code == 403
    assert OutboxMessage.objects.get().key.startswith("acme|")


def test_api_key_without_the_scope_is_refused(registered: None, acme: Tenant) -> None:
    body = json.dumps(event()).encode()
    assert bearer(acme, Permission.VIEW, Permission.ADMINISTER)(body, STRUCTURED, {}).status_code == 403
    asked = json.dumps({"replay": {"event": "01a20a0a-619c-7007-ad58-199ffa363d39"}}).encode()
    assert bearer(acme, Permission.PUBLISH)(asked, "application/json", {}).status_code == 403
    assert not OutboxMessage.objects.exists()
