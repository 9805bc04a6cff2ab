from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from delivery import hints
from delivery.models import Delivery, Dispatch
from delivery.replay import replay
from delivery.states import DeliveryStatus
from delivery.store import Claimed, load
from eventcenter.models import Event
from subscriptions.models import Endpoint, EndpointState, Lane
from tests.factories import DeliveryFactory

pytestmark = pytest.mark.django_db
ACTOR = Actor("user:eva", "192.0.2.1")


@pytest.mark.parametrize("state", ["dead", "delivered"])
def test_new_round_begins_when_a_delivery_has_ended(state: str) -> None:
    delivery = DeliveryFactory(**{state: True}, attempts=10, tries=10)
    before = timezone.now()
    assert replay(delivery.pk, ACTOR)
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.PENDING
    assert (delivery.attempts, delivery.tries, delivery.replays) == (10, 0, 1)
    assert delivery.round_at >= before
    assert [delivery.finished_at, delivery.dead_at, delivery.due_at] == [None] * 3
    assert (delivery.dead_reason, delivery.held_reason) == ("", "")
    assert [item.replays for item in load(Claimed([delivery.pk], timezone.now()))] == [1]


@pytest.mark.django_db(transaction=True)
def test_older_dispatch_that_runs_again_leaves_the_new_round_alone() -> None:
    """A worker that was killed in the middle of a dispatch leaves it behind, with deliveries that had ended by then."""
    delivery = DeliveryFactory(dead=True)
    dispatched_at = timezone.now()
    replay(delivery.pk, ACTOR)
    assert load(Claimed([delivery.pk], dispatched_at)) == []
    own = Dispatch.objects.get()
    assert [item.id for item in load(Claimed([delivery.pk], own.created_at))] == [delivery.pk]


def test_cancelled_delivery_can_be_replayed() -> None:
    delivery = DeliveryFactory(status=DeliveryStatus.CANCELLED)
    assert replay(delivery.pk, ACTOR)


def test_dispatch_takes_the_endpoints_lane_and_its_hint_goes_out_after_the_commit(
    django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = DeliveryFactory(dead=True)
    Endpoint.objects.update(lane=Lane.SLOW)
    with django_capture_on_commit_callbacks() as callbacks:
        replay(delivery.pk, ACTOR)
    dispatch = Dispatch.objects.get()
    assert (dispatch.lane, dispatch.delivery_ids, dispatch.not_before) == ("slow", [delivery.pk], None)
    assert len(callbacks) == 1
    published: list[hints.Hint] = []
    monkeypatch.setattr(hints, "publish", published.extend)
    callbacks[0]()
    assert [(hint.lane, hint.dispatch_id, hint.token) for hint in published] == [("slow", dispatch.pk, 0)]


def test_audit_entry_says_who_replayed_what_from_which_state() -> None:
    delivery = DeliveryFactory(dead=True)
    replay(delivery.pk, ACTOR)
    entry = AuditEntry.objects.get()
    assert (entry.chain, entry.actor, entry.address) == (delivery.tenant.slug, "user:eva", "192.0.2.1")
    assert (entry.action, entry.target) == ("delivery.replayed", f"delivery:{delivery.pk}")
    assert entry.details == {"from": "dead", "attempts": 1}


def refused(delivery: Delivery, words: str) -> None:
    """The words are told, and nothing happened."""
    status = delivery.status
    result = replay(delivery.pk, ACTOR)
    assert not result
    assert words in result.refusal
    delivery.refresh_from_db()
    assert (delivery.status, delivery.replays) == (status, 0)
    assert not Dispatch.objects.exists()
    assert not AuditEntry.objects.exists()


def test_nothing_happens_when_the_delivery_is_pending() -> None:
    refused(DeliveryFactory(), "open")


def test_nothing_happens_when_the_delivery_is_retrying() -> None:
    refused(DeliveryFactory(retrying=True), "open")


def test_nothing_happens_when_the_endpoint_is_disabled() -> None:
    delivery = DeliveryFactory(dead=True)
    Endpoint.objects.update(state=EndpointState.DISABLED)
    refused(delivery, "endpoint is disabled")


def test_nothing_happens_when_the_endpoint_is_gone() -> None:
    delivery = DeliveryFactory(dead=True)
    Endpoint.objects.all().delete()
    refused(delivery, "endpoint was deleted")


def test_nothing_happens_when_the_events_retention_is_over() -> None:
    delivery = DeliveryFactory(dead=True)
    Event.objects.all().delete()
    refused(delivery, "retention are over")


def test_unknown_delivery_is_refused_in_words() -> None:
    assert "no such delivery" in replay(uuid4(), ACTOR).refusal


def test_result_says_that_the_replay_waits_when_the_endpoint_is_paused() -> None:
    delivery = DeliveryFactory(dead=True)
    Endpoint.objects.update(state=EndpointState.PAUSED)
    result = replay(delivery.pk, ACTOR)
    assert result
    assert "paused" in result.note


def test_one_wins_when_two_press_at_once() -> None:
    delivery = DeliveryFactory(dead=True)
    assert [bool(replay(delivery.pk, ACTOR)), bool(replay(delivery.pk, ACTOR))] == [True, False]
    assert Dispatch.objects.count() == 1
