from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditEntry
from delivery.models import Delivery, Dispatch
from delivery.states import DeliveryStatus
from eventcenter import flags
from subscriptions.models import Endpoint, EndpointState
from tests.factories import TRACE_ID, AttemptFactory, DeliveryFactory, UserFactory

pytestmark = pytest.mark.django_db
# session, user, roles; delivery with its relations, attempts, breaker, trail, siblings, alert, its line, its escalation; live
# secrets, its work orders; due signing keys, alerts that fire. What flags are is held in memory, and looked at once a second.
PAGE_QUERIES = 15
POLL_QUERIES = 11


LIVE = {"HX-Request": "true", "HX-Target": "live"}


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


def page(ops: Client, delivery: Delivery, **headers: str) -> str:
    response = ops.get(reverse("delivery", args=[delivery.pk]), headers=headers)
    assert response.status_code == 200
    return str(response.content.decode())


def test_page_shows_the_whole_story(ops: Client) -> None:
    delivery = DeliveryFactory(dead=True, attempts=2)
    AttemptFactory(delivery=delivery, refused=True, duration_ms=1234.5)
    text = page(ops, delivery)
    for words in (
        delivery.event.subject,
        "every attempt of the schedule was made",
        "Attempt 1: throttled",
        "answered 503 Service Unavailable",
        "took 1.23 s",
        "198.51.100.7:443",
        "upstream is restarting",
        "content-type",
        str(delivery.pk),
        str(delivery.event_id),
        TRACE_ID,
        "&quot;plugin_id&quot;: &quot;" + delivery.event.subject,
    ):
        assert words in text


@pytest.mark.parametrize("attempts", [1, 9])
def test_query_count_does_not_grow_with_attempts(ops: Client, attempts: int) -> None:
    delivery = DeliveryFactory(dead=True)
    for number in range(1, attempts + 1):
        AttemptFactory(delivery=delivery, number=number)
    flags.states.get()
    for count, headers in ((PAGE_QUERIES, {}), (POLL_QUERIES, LIVE)):
        with CaptureQueriesContext(connection) as made:
            page(ops, delivery, **headers)
        texts = [query["sql"] for query in made if "eventcenter_configrevision" not in query["sql"]]
        assert len(texts) == count


def test_replay_stands_between_the_attempts_of_its_rounds(ops: Client) -> None:
    delivery = DeliveryFactory(delivered=True, replays=1)
    began = delivery.accepted_at if hasattr(delivery, "accepted_at") else delivery.planned_at
    Delivery.objects.update(round_at=began + timedelta(seconds=60))
    AttemptFactory(delivery=delivery, refused=True, started_at=began + timedelta(seconds=1))
    AttemptFactory(delivery=delivery, number=2, replay=True, started_at=began + timedelta(seconds=61))
    story = re.findall(r"Attempt 1|<b>Replayed|Attempt 2|Accepted", page(ops, delivery))
    assert story == ["Accepted", "Attempt 1", "<b>Replayed", "Attempt 2"]


def test_page_polls_while_the_delivery_is_open_and_rests_afterwards(ops: Client) -> None:
    delivery = DeliveryFactory()
    assert "data-poll" in page(ops, delivery)
    assert page(ops, delivery, **LIVE).strip().startswith('<div id="live"')
    assert "data-poll" in page(ops, delivery, **LIVE)
    assert "data-poll" not in page(ops, DeliveryFactory(delivered=True))


def test_answer_is_shown_as_text_whatever_it_holds(ops: Client) -> None:
    delivery = DeliveryFactory(delivered=True)
    AttemptFactory(delivery=delivery, response_body=b"\xff<script>" + b"x" * 5000, response_headers=[["x", "<b>"]])
    text = page(ops, delivery)
    assert "<script>" not in re.sub(r"<script src=[^>]+>", "", text)
    assert "\ufffd&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    assert "x" * 4090 not in text


def test_event_body_that_is_no_json_stands_as_it_is(ops: Client) -> None:
    delivery = DeliveryFactory(delivered=True)
    delivery.event.body = b"not json <i>"
    delivery.event.save()
    assert "not json &lt;i&gt;" in page(ops, delivery)


@pytest.mark.parametrize("name", ["delivery", "delivery-replay"])
def test_unknown_delivery_has_a_page_that_says_so(ops: Client, name: str) -> None:
    response = ops.get(reverse(name, args=[uuid4()]))
    assert response.status_code == 404
    assert "past its days of retention" in response.content.decode()


def test_replay_is_asked_done_and_told(ops: Client) -> None:
    delivery = DeliveryFactory(dead=True)
    url = reverse("delivery-replay", args=[delivery.pk])
    assert url in page(ops, delivery)
    asked = ops.get(url).content.decode()
    assert "Replay this delivery?" in asked
    assert "csrfmiddlewaretoken" in asked
    assert not Dispatch.objects.exists()
    told = ops.post(url, follow=True)
    assert told.redirect_chain == [(reverse("delivery", args=[delivery.pk]), 302)]
    assert "Replay queued" in told.content.decode()
    assert Delivery.objects.get().status == DeliveryStatus.PENDING
    assert AuditEntry.objects.get().actor == "user:eva"


def test_replay_is_refused_in_words_when_it_is_open(ops: Client) -> None:
    delivery = DeliveryFactory(retrying=True)
    url = reverse("delivery-replay", args=[delivery.pk])
    assert url not in page(ops, delivery)
    assert "cannot be replayed now" in ops.get(url).content.decode()
    assert "Not replayed. It is open" in ops.post(url, follow=True).content.decode()
    assert not Dispatch.objects.exists()


def test_replay_says_that_it_waits_when_the_endpoint_is_paused(ops: Client) -> None:
    delivery = DeliveryFactory(dead=True)
    Endpoint.objects.update(state=EndpointState.PAUSED)
    url = reverse("delivery-replay", args=[delivery.pk])
    assert "waits until it is resumed" in ops.get(url).content.decode()
    assert "Its endpoint is paused" in ops.post(url, follow=True).content.decode()


def test_replay_needs_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory())
    delivery = DeliveryFactory(dead=True)
    response = client.post(reverse("delivery-replay", args=[delivery.pk]))
    assert response.status_code == 403
    assert "The form was too old" in response.content.decode()
    assert Delivery.objects.get().status == DeliveryStatus.DEAD


@pytest.mark.parametrize("signed_in", [False, True])
def test_replay_is_refused_when_nobody_or_one_without_a_role_asks(client: Client, signed_in: bool) -> None:
    if signed_in:
        client.force_login(UserFactory(roles=()))
    delivery = DeliveryFactory(dead=True)
    assert client.post(reverse("delivery-replay", args=[delivery.pk])).status_code in (302, 403)
    assert Delivery.objects.get().status == DeliveryStatus.DEAD
    assert not Dispatch.objects.exists()
