"""POST /internal/events/publish with {"replay": {"event": id}}."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from delivery.models import Delivery, ReplayJob
from delivery.replays import run
from eventcenter.models import Event, EventType
from subscriptions.models import Tenant
from tests.delivery.replays.desk import one, replays_of
from tests.eventcenter.sender import Sender, accepted_one, event, new_sender
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture
def sender() -> Sender:
    return new_sender("acme")


def delivered_event() -> tuple[Event, list[Delivery]]:
    """An event of acme with a dead, a delivered and an open delivery."""
    tenant = Tenant.objects.get(slug="acme")
    first = one(subscription=SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant)), dead=True)
    others = [
        DeliveryFactory(event=first.event, subscription=SubscriptionFactory(endpoint__tenant=tenant), **state)
        for state in ({"delivered": True}, {"retrying": True})
    ]
    return first.event, [first, *others]


def ask(sender: Sender, body: Any, **more: Any) -> Any:
    return sender.post(json.dumps(body).encode(), JSON, **more)


def test_all_ended_deliveries_of_the_event_are_replayed(sender: Sender) -> None:
    of, rows = delivered_event()
    response = ask(sender, {"replay": {"event": str(of.pk)}})
    assert response.status_code == 202
    job = ReplayJob.objects.get()
    assert json.loads(response.content) == {"replay": {"id": str(job.pk), "count": 2}}
    assert job.state == "running"
    run.step(timezone.now() + timedelta(seconds=1))
    assert replays_of(rows) == [1, 1, 0]
    entry = AuditEntry.objects.get(action="replay.started")
    assert (entry.chain, entry.actor) == ("acme", f"key:{sender.key_id}")


def test_repeated_call_replays_once(sender: Sender) -> None:
    of, _ = delivered_event()
    body = json.dumps({"replay": {"event": str(of.pk)}}).encode()
    signing = sender.sign(body)
    answers = [json.loads(sender.post(body, JSON, signing=signing).content) for _ in range(2)]
    assert answers[0] == answers[1]
    assert ReplayJob.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"replay": {"event": "x"}}, ["replay.event"]),
        ({"replay": {}}, ["replay.event"]),
        ({"replay": {"event": None}}, ["replay.event"]),
        ({"replay": "all"}, ["replay"]),
        ({"replay": {"event": str(uuid4()), "endpoint": 3}}, ["replay.endpoint"]),
        ({"replay": {"event": str(uuid4())}, "tenant": "acme"}, ["tenant"]),
        ({"replay": {"all": 1}, "id": 1}, ["id", "replay.all", "replay.event"]),
    ],
)
def test_anything_else_in_the_body_is_named(sender: Sender, body: Any, fields: list[str]) -> None:
    response = ask(sender, body)
    told = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert [error["field"] for error in told["errors"]] == fields
    assert not ReplayJob.objects.exists()


def test_event_of_another_tenant_is_as_unknown_as_one_that_never_was(sender: Sender) -> None:
    foreign = one(dead=True)
    answers = [ask(sender, {"replay": {"event": str(key)}}) for key in (foreign.event_id, uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    told = [json.loads(answer.content) for answer in answers]
    assert told[0].pop("request_id") != told[1].pop("request_id")
    assert told[0] == told[1]
    assert not ReplayJob.objects.exists()


def test_signature_is_asked_for(sender: Sender) -> None:
    of, _ = delivered_event()
    sender.secret = new_sender("other").secret
    assert ask(sender, {"replay": {"event": str(of.pk)}}).status_code == 401
    assert not ReplayJob.objects.exists()


def test_events_are_published_as_before(sender: Sender, event_types: list[EventType], topic: str) -> None:
    accepted_one(sender.structured(event()))
    data = json.dumps(event()["data"]).encode()
    attributes = {"specversion": "1.0", "id": "r-1", "source": "/p", "type": "plugin.release.published", "subject": "x"}
    accepted_one(sender.binary(attributes, data))
    assert ask(sender, {"no": "replay"}).status_code == 415
    assert sender.post(b"not json", JSON).status_code == 415
