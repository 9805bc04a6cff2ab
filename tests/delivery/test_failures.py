"""A delivery that died is told on the bus, once, and that telling's own death is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from psycopg import Cursor

from delivery.failures import FAILED_TYPE, SOURCE, DeadDelivery, announce
from delivery.models import Delivery
from eventcenter import bus, registry
from eventcenter.envelope import Envelope, parse_structured
from eventcenter.models import Event, IdempotencyKey, OutboxMessage
from eventcenter.publishing import find_problems
from subscriptions.models import Endpoint, Subscription, Tenant
from tests.delivery.bus_messages import ingest_now, on_bus
from tests.factories import TRACE_ID, DeliveryFactory, EndpointFactory, SubscriptionFactory, TenantFactory
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


def dead(delivery: Delivery, **changes: Any) -> DeadDelivery:
    told = {
        "delivery_id": delivery.pk,
        "replays": delivery.replays,
        "reason": "spent",
        "attempts": 10,
        "status_code": 503,
        "error": "answered 503 Service Unavailable",
        "at": timezone.now(),
    }
    return DeadDelivery(**(told | changes))


def die(*deliveries: Delivery, **changes: Any) -> None:
    with transaction.atomic():
        announce([dead(delivery, **changes) for delivery in deliveries])


def told() -> list[Envelope]:
    """What stands in the outbox, oldest first."""
    return [parse_structured(bytes(row.body)) for row in OutboxMessage.objects.order_by("id")]


def data_of(envelope: Envelope) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(envelope.data)
    return data


# --- What is told ---


def test_event_says_what_failed_and_why_when_a_delivery_dies() -> None:
    delivery = DeliveryFactory(dead=True, replays=2)
    at = timezone.now()

    die(delivery, at=at)

    (event,) = told()
    assert (event.type, event.source, event.subject) == (FAILED_TYPE, SOURCE, delivery.subscription.slug)
    assert (event.tenant, event.id, event.time) == (delivery.tenant.slug, f"{delivery.pk}-2", at)
    assert event.traceparent is not None
    assert TRACE_ID in event.traceparent
    assert data_of(event) == {
        "delivery_id": str(delivery.pk),
        "event_id": str(delivery.event_id),
        "event_type": "plugin.release.published",
        "event_subject": delivery.event.subject,
        "subscription": delivery.subscription.slug,
        "endpoint": delivery.endpoint.slug,
        "reason": "spent",
        "attempts": 10,
        "last_status_code": 503,
        "last_error": "answered 503 Service Unavailable",
        "failed_at": at.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.usefixtures("event_types")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status_code": None, "error": "", "attempts": 0, "reason": "too_old"},
        {"error": "é" * 5_000},
        {"error": "a\0b\ud800c", "reason": "endpoint_deleted"},
    ],
)
def test_event_is_right_by_its_own_schema_whatever_ended_the_delivery(changes: dict[str, Any]) -> None:
    delivery = DeliveryFactory(event__subject="", event__traceparent="")

    die(delivery, **changes)

    (event,) = told()
    assert find_problems(event, delivery.tenant.slug, registry.schemas.reload()) == []


@pytest.mark.usefixtures("event_types")
def test_last_answer_is_the_deliverys_when_it_ended_without_a_try() -> None:
    delivery = DeliveryFactory(retrying=True)

    die(delivery, status_code=None, error="The endpoint is disabled.", reason="endpoint_disabled")

    assert data_of(told()[0])["last_status_code"] == 503


@pytest.mark.usefixtures("event_types")
def test_event_is_told_when_subscription_and_endpoint_are_deleted() -> None:
    delivery = DeliveryFactory(dead=True)
    Subscription.objects.all().delete()
    Endpoint.objects.all().delete()

    die(delivery, reason="endpoint_deleted")

    (event,) = told()
    assert (data_of(event)["subscription"], data_of(event)["endpoint"]) == ("(deleted)", "(deleted)")
    assert find_problems(event, delivery.tenant.slug, registry.schemas.reload()) == []


# --- Once ---


def test_event_is_told_once_when_the_same_death_is_recorded_again() -> None:
    delivery = DeliveryFactory(dead=True)

    die(delivery)
    die(delivery, at=timezone.now() + timedelta(seconds=5))

    assert len(told()) == IdempotencyKey.objects.count() == 1


def test_event_is_told_again_when_a_replay_dies() -> None:
    delivery = DeliveryFactory(dead=True)

    die(delivery)
    die(delivery, replays=1)

    assert [event.id for event in told()] == [f"{delivery.pk}-0", f"{delivery.pk}-1"]


def test_nothing_is_told_when_the_recording_is_rolled_back() -> None:
    class RolledBackError(Exception):
        pass

    def record() -> None:
        with transaction.atomic():
            announce([dead(DeliveryFactory(dead=True))])
            assert len(told()) == 1
            raise RolledBackError

    with pytest.raises(RolledBackError):
        record()
    assert told() == []
    assert not IdempotencyKey.objects.exists()


# --- What is not told ---


def test_nothing_is_told_when_the_news_of_a_death_dies() -> None:
    news = DeliveryFactory(dead=True, event__type=FAILED_TYPE)
    other = DeliveryFactory(dead=True)

    die(news, other)

    assert [data_of(event)["delivery_id"] for event in told()] == [str(other.pk)]


def test_nothing_is_told_when_the_event_is_past_its_retention() -> None:
    delivery = DeliveryFactory(dead=True)
    Event.objects.all().delete()

    die(delivery, reason="event_expired")

    assert told() == []


def test_nothing_is_told_when_the_tenant_is_not_active() -> None:
    delivery = DeliveryFactory(dead=True)
    Tenant.objects.update(active=False)

    die(delivery)

    assert told() == []


def test_nothing_is_asked_when_nothing_died(django_assert_num_queries: Callable[[int], Any]) -> None:
    with django_assert_num_queries(0):
        announce([])


def test_queries_do_not_grow_when_many_die(django_assert_num_queries: Callable[..., Any]) -> None:
    subscriptions = [SubscriptionFactory(endpoint__tenant=TenantFactory()) for _ in range(2)]
    rows = [DeliveryFactory(subscription=row, dead=True) for row in subscriptions for _ in range(20)]

    statements = statements_of(lambda: announce([dead(row) for row in rows]))

    assert len(told()) == 40
    assert statements == 3  # what they were, and each tenant's events


def statements_of(act: Callable[[], None]) -> int:
    """How many statements the act sent: those of the stores' own cursors, which Django does not count."""
    count = 0
    execute = Cursor.execute

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return execute(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cursor, "execute", counting)
        act()
    return count


# --- On the bus ---


def on_its_way(events: Sequence[Envelope]) -> list[Delivery]:
    """The outbox's events come over the bus; the deliveries that were planned for them."""
    before = set(Delivery.objects.values_list("pk", flat=True))
    ids = list(OutboxMessage.objects.order_by("id").values_list("id", flat=True))
    OutboxMessage.objects.all().delete()
    ingest_now(*[on_bus(event, event_id) for event, event_id in zip(events, ids, strict=True)])
    return list(Delivery.objects.exclude(pk__in=before))


@pytest.mark.usefixtures("event_types", "empty_queues")
def test_subscriber_gets_the_news_and_no_chain_begins_when_that_dies_too() -> None:
    delivery = DeliveryFactory(dead=True)
    pager = EndpointFactory(tenant=delivery.tenant)
    subscription = SubscriptionFactory(tenant=delivery.tenant, endpoint=pager, types=[FAILED_TYPE])
    die(delivery)

    (news,) = on_its_way(told())
    assert news.subscription == subscription
    assert news.event.type == FAILED_TYPE
    assert json.loads(bytes(news.event.body))["data"]["delivery_id"] == str(delivery.pk)

    die(news)
    assert told() == []


@pytest.mark.kafka
@pytest.mark.django_db(transaction=True)
def test_event_leaves_for_the_bus_when_the_recording_is_committed(topic: str) -> None:
    die(DeliveryFactory(dead=True))

    try:
        eventually(lambda: not OutboxMessage.objects.exists())
    finally:
        assert bus.close_outbox_producer(10) == 0
    assert IdempotencyKey.objects.count() == 1
