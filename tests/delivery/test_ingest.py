from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from celery import current_app
from django.db.models import Sum
from django.utils import timezone

from delivery.models import Delivery, Dispatch
from delivery.planning import DISPATCH_DELIVERIES
from delivery.states import DeliveryStatus
from eventcenter import store
from eventcenter.envelope import Envelope, effective_idempotency_key, partition_key, to_structured
from eventcenter.ids import derived_id, id_time, new_id
from eventcenter.models import Event, IdempotencyKey, IngestCounter, OutboxMessage, RejectedEvent
from eventcenter.publishing import key_digest
from eventcenter.store import Accepted
from subscriptions.models import Lane, Tenant
from tests.delivery.bus_messages import TRACE, ingest_now, on_bus, raw, release, structured_on_bus
from tests.delivery.refusing import refusing
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory, event_id_at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types", "empty_queues")]


@pytest.fixture
def acme() -> str:
    """A tenant with one subscription to releases."""
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    return "acme"


def counted() -> dict[str, int]:
    names = ("ingested", "duplicates", "rejected", "planned")
    return IngestCounter.objects.aggregate(**{name: Sum(name) for name in names})


def nothing_is_kept() -> None:
    for model in (Event, Delivery, Dispatch, IdempotencyKey, RejectedEvent, IngestCounter):
        assert not model.objects.exists(), model


# --- What is kept ---


def test_event_delivery_and_dispatch_are_kept_when_a_release_comes(acme: str) -> None:
    envelope = release(acme, traceparent=TRACE, time=timezone.now(), idempotencykey="release-2.4.1")
    message = on_bus(envelope)
    done = ingest_now(message)
    event, delivery, dispatch = Event.objects.get(), Delivery.objects.get(), Dispatch.objects.get()
    assert (event.tenant.slug, event.type, event.source) == (acme, envelope.type, envelope.source)
    assert (event.subject, event.producer_id, event.time) == (envelope.subject, envelope.id, envelope.time)
    assert (event.tags, event.traceparent, event.idempotency_key) == (["stable", "eu"], TRACE, "release-2.4.1")
    assert (event.kafka_partition, event.kafka_offset) == (message.partition, message.offset)
    assert orjson.loads(bytes(event.body))["data"] == orjson.loads(envelope.data)
    assert delivery.pk == derived_id(event.pk, delivery.subscription_id)
    assert (delivery.tenant_id, delivery.endpoint_id) == (event.tenant_id, delivery.subscription.endpoint_id)
    assert (delivery.state, delivery.attempts, delivery.tries) == (DeliveryStatus.PENDING, 0, 0)
    assert (delivery.due_at, delivery.next_attempt_at, delivery.held_reason) == (None, None, "")
    assert (dispatch.delivery_ids, dispatch.token, dispatch.lane, dispatch.claimed_by) == ([delivery.pk], 0, "fast", "")
    assert [(hint.dispatch_id, hint.token, hint.lane) for hint in done.hints] == [(dispatch.pk, 0, "fast")]
    assert counted() == {"ingested": 1, "duplicates": 0, "rejected": 0, "planned": 1}


def test_event_is_kept_when_it_has_only_what_it_must_have(acme: str) -> None:
    ingest_now(on_bus(release(acme, tags=(), subject=None)))
    event = Event.objects.get()
    assert (event.tags, event.subject, event.time) == ([], "", None)
    assert Delivery.objects.count() == 1


def test_event_is_taken_when_a_pipeline_writes_it_in_structured_mode(acme: str) -> None:
    ingest_now(structured_on_bus(release(acme)))
    assert Event.objects.count() == Delivery.objects.count() == 1


def test_event_without_a_subscription_is_kept_when_nobody_wants_it() -> None:
    TenantFactory(slug="acme")
    done = ingest_now(on_bus(release("acme")))
    assert (done.events, done.deliveries, done.hints) == (1, 0, [])
    assert not Dispatch.objects.exists()


def test_nothing_is_written_but_the_minute_when_the_batch_is_empty() -> None:
    assert ingest_now().events == 0
    assert not Event.objects.exists()


def test_deliveries_are_cut_by_lane_and_size_when_a_batch_is_large(acme: str) -> None:
    slow = EndpointFactory(tenant__slug="slow-inc", lane=Lane.SLOW)
    SubscriptionFactory(endpoint=slow)
    fast_events = [on_bus(release(acme)) for _ in range(DISPATCH_DELIVERIES + 1)]
    done = ingest_now(*fast_events, on_bus(release("slow-inc")))
    sizes = sorted((row.lane, len(row.delivery_ids)) for row in Dispatch.objects.all())
    assert sizes == [("fast", 1), ("fast", DISPATCH_DELIVERIES), ("slow", 1)]
    covered = [delivery for row in Dispatch.objects.all() for delivery in row.delivery_ids]
    assert sorted(covered) == sorted(Delivery.objects.values_list("id", flat=True))
    assert len(done.hints) == 3


def test_hints_are_in_the_queue_of_their_lane_after_the_commit(acme: str, hints_in: Any) -> None:
    ingest_now(on_bus(release(acme)))
    assert hints_in("fast") == [[Dispatch.objects.get().pk, 0]]
    assert hints_in("slow") == hints_in("retry") == []


def test_deliveries_are_distinct_when_events_share_a_millisecond(acme: str) -> None:
    at = timezone.now()
    ids = [event_id_at(at) for _ in range(50)]
    SubscriptionFactory(endpoint__tenant=Tenant.objects.get(slug=acme))
    ingest_now(*[on_bus(release(acme), event_id) for event_id in ids])
    deliveries = list(Delivery.objects.all())
    assert len({row.pk for row in deliveries}) == 100
    assert {id_time(row.pk) for row in deliveries} == {id_time(ids[0])}


# --- Repeats ---


def test_repeat_is_dropped_when_it_stands_in_the_same_batch(acme: str) -> None:
    envelope = release(acme)
    done = ingest_now(on_bus(envelope), on_bus(envelope))
    assert (done.events, done.duplicates) == (1, 1)
    assert (Event.objects.count(), Delivery.objects.count()) == (1, 1)
    assert counted()["duplicates"] == 1


def test_repeat_is_dropped_when_it_comes_in_a_later_batch(acme: str) -> None:
    message = on_bus(release(acme))
    ingest_now(message)
    done = ingest_now(message)
    assert (done.events, done.duplicates, done.hints) == (0, 1, [])
    assert (Event.objects.count(), Delivery.objects.count(), Dispatch.objects.count()) == (1, 1, 1)
    assert not RejectedEvent.objects.exists()


def test_first_one_wins_when_two_of_a_batch_share_a_key(acme: str) -> None:
    first, second = (release(acme, id=name, idempotencykey="one-release") for name in ("first", "second"))
    done = ingest_now(on_bus(first), on_bus(second))
    assert (done.events, done.duplicates) == (1, 1)
    assert Event.objects.get().producer_id == "first"


def test_the_order_of_the_bus_is_kept_when_a_batch_has_many_events(acme: str) -> None:
    ingest_now(*[on_bus(release(acme, id=f"event-{n:02}")) for n in range(20)])
    by_id = Event.objects.order_by("id").values_list("producer_id", flat=True)
    assert list(by_id) == [f"event-{n:02}" for n in range(20)]
    assert Dispatch.objects.get().delivery_ids == [
        derived_id(event, Delivery.objects.first().subscription_id)
        for event in Event.objects.order_by("id").values_list("id", flat=True)
    ]


def accept(envelope: Envelope) -> UUID:
    """As the publish API's transaction does. Returns the id that the publisher is told."""
    digest = key_digest(envelope.tenant or "", effective_idempotency_key(envelope))
    offered = Accepted(id=new_id(), digest=digest, key=partition_key(envelope), body=to_structured(envelope))
    return store.accept([offered])[digest]


@pytest.fixture
def accepted(acme: str) -> tuple[str, UUID]:
    """A key that the publish API has given to an event which is still on its way through the bus."""
    return "contested", accept(release(acme, id="by-api", idempotencykey="contested"))


@pytest.mark.parametrize("direct_first", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_event_of_the_api_wins_when_a_pipeline_sends_the_same_key_directly(
    acme: str, accepted: tuple[str, UUID], direct_first: bool, together: bool
) -> None:
    key, event_id = accepted
    messages = [
        on_bus(release(acme, id="by-api", idempotencykey=key), event_id),
        on_bus(release(acme, id="direct", idempotencykey=key)),
    ]
    ordered = messages[::-1] if direct_first else messages
    batches = [ordered] if together else [[message] for message in ordered]
    done = [ingest_now(*batch) for batch in batches]
    assert sum(item.events for item in done) == sum(item.duplicates for item in done) == 1
    assert [(event.pk, event.producer_id) for event in Event.objects.all()] == [(event_id, "by-api")]
    assert Delivery.objects.count() == 1
    assert IdempotencyKey.objects.get().ingested_at is not None


def test_publisher_is_told_of_the_first_one_when_a_pipeline_was_faster(acme: str) -> None:
    envelope = release(acme, idempotencykey="contested")
    ingest_now(on_bus(envelope))
    assert accept(envelope) == Event.objects.get().pk
    assert not OutboxMessage.objects.exists()


def test_event_of_the_api_is_taken_once_when_the_bus_repeats_it(acme: str, accepted: tuple[str, UUID]) -> None:
    key, event_id = accepted
    message = on_bus(release(acme, idempotencykey=key), event_id)
    ingest_now(message, message)
    ingest_now(message)
    assert (Event.objects.count(), Delivery.objects.count(), counted()["duplicates"]) == (1, 1, 2)


def test_same_key_makes_two_events_when_the_tenants_differ(acme: str) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="globex"))
    done = ingest_now(*[on_bus(release(tenant, idempotencykey="one-release")) for tenant in (acme, "globex")])
    assert (done.events, done.duplicates, Delivery.objects.count()) == (2, 0, 2)


def test_own_id_goes_no_further_when_the_bus_carries_it(acme: str) -> None:
    event_id = new_id()
    ingest_now(on_bus(release(acme), event_id))
    event = Event.objects.get()
    assert event.pk == event_id
    assert b"eventcenterid" not in bytes(event.body)


@pytest.mark.parametrize(
    "claimed",
    [UUID(int=0), UUID("c232ab00-9414-11ec-b3c8-9f68deced846"), event_id_at(timezone.now() + timedelta(days=2))],
    ids=["nil", "version-1", "far-ahead"],
)
def test_a_new_id_is_given_when_the_claimed_one_cannot_be_ours(acme: str, claimed: UUID) -> None:
    ingest_now(on_bus(release(acme), claimed))
    event = Event.objects.get()
    assert event.pk != claimed
    assert abs(id_time(event.pk) - timezone.now()) < timedelta(minutes=1)


def test_second_one_is_kept_aside_when_two_events_claim_one_id(acme: str) -> None:
    event_id = new_id()
    ingest_now(on_bus(release(acme, id="first"), event_id))
    done = ingest_now(on_bus(release(acme, id="second"), event_id))
    assert (done.events, done.rejected) == (0, 1)
    assert Event.objects.get().producer_id == "first"
    assert Delivery.objects.count() == 1
    rejected = RejectedEvent.objects.get()
    assert (rejected.reason, rejected.tenant_slug) == ("id_taken", acme)
    assert str(event_id) in rejected.detail


def test_second_one_is_kept_aside_when_two_events_of_one_batch_claim_one_id(acme: str) -> None:
    event_id = new_id()
    done = ingest_now(*[on_bus(release(acme, id=name), event_id) for name in ("first", "second")])
    assert (done.events, done.rejected, done.deliveries) == (1, 1, 1)
    assert Event.objects.get().producer_id == "first"
    assert RejectedEvent.objects.get().reason == "id_taken"


# --- One transaction ---


class MovedOn(Exception):
    pass


def _refuse() -> None:
    raise MovedOn


def test_nothing_is_kept_when_the_offsets_were_moved_by_another_consumer(acme: str, hints_in: Any) -> None:
    with pytest.raises(MovedOn):
        ingest_now(on_bus(release(acme)), raw(b"nonsense"), commit_positions=_refuse)
    nothing_is_kept()
    assert hints_in("fast") == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["eventcenter_event", "delivery_dispatch", "eventcenter_rejectedevent"])
def test_nothing_is_kept_when_the_database_refuses_a_row(acme: str, table: str, hints_in: Any) -> None:
    with refusing(table), pytest.raises(Exception, match="refused by the test"):
        ingest_now(on_bus(release(acme)), raw(b"nonsense"))
    nothing_is_kept()
    assert hints_in("fast") == []
    assert ingest_now(on_bus(release(acme))).events == 1


# --- Tenants ---


def test_no_other_tenant_gets_the_event_when_its_subscriptions_would_match(acme: str) -> None:
    globex = TenantFactory(slug="globex")
    SubscriptionFactory(endpoint__tenant=globex, types=["plugin.*"])
    SubscriptionFactory(endpoint__tenant=globex, filters=[{"exact": {"tenant": acme}}])
    ingest_now(on_bus(release(acme)))
    assert {row.tenant.slug for row in Delivery.objects.all()} == {acme}
    assert Delivery.objects.count() == 1


def test_nothing_is_delivered_when_a_subscription_points_at_another_tenants_endpoint(acme: str) -> None:
    globex = TenantFactory(slug="globex")
    foreign = EndpointFactory(tenant=globex)
    SubscriptionFactory(tenant=TenantFactory(slug="initech"), endpoint=foreign)
    ingest_now(on_bus(release("initech")))
    assert not Delivery.objects.filter(endpoint=foreign).exists()


def test_hint_waits_for_the_sweep_when_no_worker_takes_it(acme: str) -> None:
    before = timezone.now()
    ingest_now(on_bus(release(acme)))
    dispatch = Dispatch.objects.get()
    assert timedelta(seconds=5) < dispatch.lease_until - before < timedelta(seconds=15)
    assert current_app.conf.broker_transport_options["ack_emulation"] is False
