from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import orjson
import pytest
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from audit.models import AuditEntry
from delivery import store
from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch
from delivery.planning import HELD_LOOK_S
from delivery.replay import replay
from delivery.states import DeliveryStatus
from delivery.transports.base import Message, Record
from eventcenter.models import Event
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Subscription, Tenant
from subscriptions.routing import delivery_settings
from subscriptions.services import seal_headers
from tests.delivery.test_replay import ACTOR
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, stuck, sweep_takes
from tests.factories import EndpointSecretFactory
from tests.fakes.receiver import Answer, CloseSilently, Received, Receiver, redirect
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def webhook_headers(request: Received) -> dict[str, str]:
    return {name: value for name, value in request.header_map().items() if name.startswith("webhook-")}


# --- What a receiver sees ---


def test_delivery_ends_as_delivered_when_the_receiver_takes_it(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    before = timezone.now()
    desk.deliver(delivery)
    assert (delivery.state, delivery.attempts, delivery.tries) == (DeliveryStatus.DELIVERED, 1, 1)
    assert delivery.finished_at is not None
    assert before <= delivery.finished_at <= timezone.now()
    assert (delivery.last_status_code, delivery.last_error_kind) == (204, "")
    assert (delivery.next_attempt_at, delivery.due_at, delivery.dead_at, delivery.dead_reason) == (None, None, None, "")
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.body == bytes(delivery.event.body)
    assert request.header("content-type") == "application/cloudevents+json; charset=utf-8"
    assert request.header("webhook-id") == str(delivery.pk)
    assert request.header("traceparent") == delivery.event.traceparent
    assert request.header("x-event-center-replay") is None


def test_attempt_says_everything_when_the_receiver_answers(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(202, [("X-Request", "abc"), ("Server", "nginx")], b'{"ok": true}'))
    delivery = make()
    before = timezone.now()
    desk.deliver(delivery)
    attempt = Attempt.objects.get()
    assert (attempt.delivery_id, attempt.number, attempt.outcome) == (delivery.pk, 1, "delivered")
    assert (attempt.status_code, attempt.error_kind, attempt.error) == (202, "", "")
    assert before - timedelta(seconds=1) <= attempt.started_at <= timezone.now()
    assert 0 < attempt.duration_ms < 10_000
    assert ["X-Request", "abc"] in attempt.response_headers
    assert bytes(attempt.response_body) == b'{"ok": true}'
    assert attempt.remote_address == f"127.0.0.1:{receiver.port}"
    assert attempt.worker
    assert not attempt.replay


def test_every_live_secret_signs_when_an_endpoint_rotates(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    old = EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MDEy" * 8)
    EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MzQ1" * 8)
    EndpointSecret.objects.filter(pk=old.pk).update(expires_at=timezone.now() + timedelta(hours=1))
    desk.deliver(delivery)
    (request,) = receiver.requests
    assert len((request.header("webhook-signature") or "").split()) == 2
    for secret in ("whsec_" + "MDEy" * 8, "whsec_" + "MzQ1" * 8):
        assert Webhook(secret).verify(request.body.decode(), webhook_headers(request)) == orjson.loads(request.body)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "Njc4" * 8).verify(request.body.decode(), webhook_headers(request))


def test_expired_secret_does_not_sign(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MDEy" * 8, expires_at=timezone.now())
    EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MzQ1" * 8)
    desk.deliver(delivery)
    (request,) = receiver.requests
    assert len((request.header("webhook-signature") or "").split()) == 1
    Webhook("whsec_" + "MzQ1" * 8).verify(request.body.decode(), webhook_headers(request))


def test_each_tenants_secret_signs_when_a_dispatch_holds_several(desk: Desk, make: Make, receiver: Receiver) -> None:
    secrets = {"/a": "whsec_" + "MDEy" * 8, "/b": "whsec_" + "MzQ1" * 8}
    deliveries = [make(path) for path in secrets]
    for delivery, secret in zip(deliveries, secrets.values(), strict=True):
        EndpointSecretFactory(endpoint=delivery.endpoint, secret=secret)
    desk.deliver(*deliveries)
    assert Tenant.objects.count() == 2
    for path, secret in secrets.items():
        (request,) = receiver.requests_to(path)
        Webhook(secret).verify(request.body.decode(), webhook_headers(request))


def test_data_is_the_body_when_the_endpoint_asks_for_binary_mode(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make(endpoint__content_mode="binary")
    EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MDEy" * 8)
    desk.deliver(delivery)
    (request,) = receiver.requests
    event = orjson.loads(bytes(delivery.event.body))
    assert orjson.loads(request.body) == event["data"]
    assert request.header("content-type") == "application/json"
    assert (request.header("ce-id"), request.header("ce-tenant")) == (event["id"], event["tenant"])
    Webhook("whsec_" + "MDEy" * 8).verify(request.body.decode(), webhook_headers(request))


def test_custom_headers_are_sent_and_reserved_ones_left_out(desk: Desk, make: Make, receiver: Receiver) -> None:
    headers = seal_headers([("Authorization", "Bearer 42"), ("webhook-id", "forged"), ("Traceparent", "forged")])
    delivery = make(endpoint__sealed_headers=headers)
    desk.deliver(delivery)
    (request,) = receiver.requests
    assert request.header("authorization") == "Bearer 42"
    assert request.header("webhook-id") == str(delivery.pk)
    assert "forged" not in request.header_map().values()


def test_webhook_id_stays_and_the_signature_is_new_when_it_is_tried_again(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/hook", Answer(500), Answer(204))
    delivery = make(policy={"schedule_s": [0, 0]})
    EndpointSecretFactory(endpoint=delivery.endpoint, secret="whsec_" + "MDEy" * 8)
    desk.deliver(delivery)
    retry = Dispatch.objects.get()
    assert desk.runner.run(retry.pk, retry.token) == 1
    eventually(lambda: Delivery.objects.get().state is DeliveryStatus.DELIVERED, every_s=0.01)
    first, second = receiver.wait_for(2)
    assert first.header("webhook-id") == second.header("webhook-id") == str(delivery.pk)
    for request in (first, second):
        Webhook("whsec_" + "MDEy" * 8).verify(request.body.decode(), webhook_headers(request))
    assert list(Attempt.objects.values_list("number", "status_code")) == [(1, 500), (2, 204)]


def test_replay_says_so_and_keeps_the_webhook_id(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    desk.deliver(delivery)
    assert replay(delivery.pk, ACTOR)
    again = Dispatch.objects.get()
    desk.runner.run(again.pk, again.token)
    eventually(lambda: Attempt.objects.count() == 2, every_s=0.01)
    first, second = receiver.wait_for(2)
    assert first.header("webhook-id") == second.header("webhook-id")
    assert (first.header("x-event-center-replay"), second.header("x-event-center-replay")) == (None, "true")
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.tries) == (DeliveryStatus.DELIVERED, 2, 1)
    assert list(Attempt.objects.values_list("number", "replay")) == [(1, False), (2, True)]


# --- What follows a failure ---


def test_retry_waits_by_the_schedule_when_the_receiver_fails(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500, [("X-Fault", "7")], b"boom"))
    delivery = make()
    before = timezone.now()
    desk.deliver(delivery)
    assert (delivery.state, delivery.attempts, delivery.tries) == (DeliveryStatus.RETRYING, 1, 1)
    assert delivery.next_attempt_at is not None
    # The second wait of the default schedule is 5 s, with up to a fifth of jitter.
    assert timedelta(seconds=5) <= delivery.next_attempt_at - before <= timedelta(seconds=5 * 1.2 + 10)
    assert (delivery.due_at, delivery.finished_at, delivery.last_status_code) == (None, None, 500)
    retry = Dispatch.objects.get()
    assert (retry.lane, retry.delivery_ids, retry.token) == ("retry", [delivery.pk], 0)
    assert retry.not_before == delivery.next_attempt_at
    assert retry.lease_until > retry.not_before
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.status_code, attempt.error_kind) == ("failed", 500, "http_status")
    assert attempt.error == "answered 500 Internal Server Error"
    assert bytes(attempt.response_body) == b"boom"
    assert not stuck()


def test_retry_is_the_sweeps_when_it_is_far(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(policy={"schedule_s": [0, 1800]})
    desk.deliver(delivery)
    assert delivery.due_at == delivery.next_attempt_at
    assert delivery.due_at is not None
    assert delivery.due_at - timezone.now() > timedelta(minutes=25)
    assert not Dispatch.objects.exists()


def test_wait_is_the_receivers_when_retry_after_is_longer(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(503, [("Retry-After", "3600")]))
    delivery = make()
    before = timezone.now()
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.RETRYING
    assert delivery.due_at is not None
    assert timedelta(hours=1) <= delivery.due_at - before <= timedelta(hours=1.25)
    assert Attempt.objects.get().outcome == "throttled"


@pytest.mark.parametrize("act", [CloseSilently(), redirect("/elsewhere")], ids=["closed", "redirect"])
def test_error_is_in_plain_words_when_there_is_no_good_answer(
    desk: Desk, make: Make, receiver: Receiver, act: Answer | CloseSilently
) -> None:
    receiver.script("/hook", act)
    delivery = make()
    desk.deliver(delivery)
    attempt = Attempt.objects.get()
    assert delivery.state is DeliveryStatus.RETRYING
    assert attempt.error in (
        "the connection was closed without an answer",
        "answered 302 Found: redirects are not followed",
    )
    assert not receiver.requests_to("/elsewhere")


def test_nothing_is_sent_when_the_address_is_not_allowed(
    desk: Desk, make: Make, receiver: Receiver, settings: Settings, new_desk: Callable[[], Desk]
) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = ()
    delivery = make()
    new_desk().deliver(delivery)
    assert delivery.state is DeliveryStatus.RETRYING
    assert Attempt.objects.get().error_kind == "forbidden_address"
    assert receiver.connections == 0


def test_delivery_is_dead_when_the_schedule_is_spent(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(policy={"schedule_s": [0]})
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason, delivery.attempts) == (DeliveryStatus.DEAD, "spent", 1)
    assert delivery.dead_at is not None
    assert delivery.dead_at == delivery.finished_at
    assert (delivery.next_attempt_at, delivery.due_at) == (None, None)
    assert list(Delivery.objects.dead()) == [delivery]
    assert not Dispatch.objects.exists()
    assert DeliveryCounter.objects.get().dead == 1


def test_delivery_is_dead_when_the_next_try_would_be_too_late(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(policy={"schedule_s": [0, 3600], "max_age_s": 60})
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason) == (DeliveryStatus.DEAD, "too_old")


def test_no_retry_follows_when_the_policy_calls_the_status_permanent(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/hook", Answer(422))
    delivery = make(policy={"permanent_statuses": [422]})
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason, delivery.attempts) == (DeliveryStatus.DEAD, "permanent", 1)
    assert not Dispatch.objects.exists()


def test_standard_schedule_is_used_when_the_policy_cannot_be_read(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(500))
    delivery = make(policy={"no_such_field": 1})
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.RETRYING


def test_endpoint_is_disabled_when_the_receiver_is_gone(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(410))
    delivery = make()
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason) == (DeliveryStatus.DEAD, "gone")
    endpoint = eventually(lambda: Endpoint.objects.filter(state=EndpointState.DISABLED).first(), every_s=0.01)
    assert "410" in endpoint.state_reason
    entry = AuditEntry.objects.get(action="endpoint.disabled")
    assert (entry.chain, entry.action) == (delivery.tenant.slug, "endpoint.disabled")
    assert entry.target == f"endpoint:{endpoint.pk}"
    assert entry.details["delivery"] == str(delivery.pk)


def test_one_audit_entry_is_made_when_many_answers_say_gone(desk: Desk, make: Make, receiver: Receiver) -> None:
    receiver.script("/hook", Answer(410))
    first = make()
    others = [make(subscription=first.subscription) for _ in range(4)]
    desk.deliver(first, *others)
    eventually(lambda: AuditEntry.objects.exists(), every_s=0.01)
    desk.close()
    assert sorted(AuditEntry.objects.values_list("action", flat=True)) == ["alert.raised", "endpoint.disabled"]
    assert Delivery.objects.filter(dead_reason="gone").count() == 5


# --- What is decided without sending ---


def test_nothing_is_spent_when_the_endpoint_is_paused(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make(endpoint__state=EndpointState.PAUSED)
    desk.deliver(delivery)
    assert (delivery.state, delivery.attempts, delivery.tries) == (DeliveryStatus.PENDING, 0, 0)
    assert delivery.held_reason == "endpoint_paused"
    assert delivery.next_attempt_at is not None
    assert delivery.due_at is not None
    assert timedelta(seconds=5) < delivery.next_attempt_at - timezone.now() <= timedelta(seconds=15)
    assert delivery.due_at > timezone.now() + timedelta(seconds=HELD_LOOK_S - 30), "the sweep only looks after it"
    assert not Attempt.objects.exists()
    assert not receiver.requests
    counter = DeliveryCounter.objects.get()
    assert (counter.attempts, counter.deferred, counter.failed) == (0, 1, 0)


def test_retrying_delivery_stays_retrying_when_the_endpoint_is_paused(desk: Desk, make: Make) -> None:
    delivery = make(retrying=True, due_at=None, endpoint__state=EndpointState.PAUSED)
    Delivery.objects.update(next_attempt_at=None)
    desk.deliver(delivery)
    assert (delivery.state, delivery.attempts) == (DeliveryStatus.RETRYING, 1)
    assert (delivery.last_status_code, delivery.last_error_kind) == (503, "http_status")


def test_delivery_is_dead_when_the_pause_outlasted_its_age(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make(
        endpoint__state=EndpointState.PAUSED,
        policy={"max_age_s": 60},
        round_at=timezone.now() - timedelta(seconds=61),
    )
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason, delivery.attempts) == (DeliveryStatus.DEAD, "too_old", 0)
    assert not receiver.requests


def test_delivery_is_dead_when_the_endpoint_is_disabled(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make(endpoint__state=EndpointState.DISABLED)
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason) == (DeliveryStatus.DEAD, "endpoint_disabled")
    assert not receiver.requests


def test_delivery_is_dead_when_the_endpoint_was_deleted(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    Endpoint.objects.all().delete()
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason) == (DeliveryStatus.DEAD, "endpoint_deleted")
    assert not receiver.requests


def test_new_endpoint_is_served_when_the_worker_read_its_settings_a_moment_before(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    desk.deliver(make("/old"))
    delivery_settings.get()
    delivery = make("/new", policy={"schedule_s": [0]})
    desk.deliver(delivery)
    assert delivery.state is DeliveryStatus.DELIVERED
    assert len(receiver.requests_to("/new")) == 1


def test_policy_of_a_new_subscription_is_known_when_its_endpoint_is_old(
    desk: Desk, make: Make, receiver: Receiver
) -> None:
    receiver.script("/hook", Answer(204), Answer(500))
    first = make()
    desk.deliver(first)
    second = Subscription.objects.get()
    second.pk, second.slug, second.retry_policy = None, "another", {"schedule_s": [0]}
    second.save()
    delivery = make(subscription=second)
    desk.deliver(delivery)
    assert (delivery.state, delivery.dead_reason) == (DeliveryStatus.DEAD, "spent")


def test_delivery_ends_when_its_event_is_past_retention(desk: Desk, make: Make, receiver: Receiver) -> None:
    delivery = make()
    Event.objects.all().delete()
    hint = dispatch([delivery])
    desk.run(hint)
    ended(hint)
    assert not stuck()
    assert not receiver.requests


@pytest.mark.parametrize("column", ["channel", "content_mode"])
def test_the_others_go_out_when_one_endpoint_cannot_be_served(
    desk: Desk, make: Make, receiver: Receiver, column: str
) -> None:
    """As by a worker of the last version, which does not know a channel of this one."""
    broken, good = make("/broken"), make("/good")
    Endpoint.objects.filter(pk=broken.endpoint_id).update(**{column: "carrier-pigeon"})
    desk.deliver(broken, good)
    assert good.state is DeliveryStatus.DELIVERED
    assert broken.state is DeliveryStatus.RETRYING
    assert Attempt.objects.get(delivery=broken).error_kind == "internal"
    assert not receiver.requests_to("/broken")
    assert not stuck()


class Faulty:
    """A transport with a bug."""

    def send(self, messages: Sequence[Message], record: Record) -> None:
        raise RuntimeError("a bug")

    def close(self, deadline_s: float) -> None: ...


def test_dispatch_is_another_workers_when_this_one_had_a_fault(
    new_desk: Callable[[], Desk], make: Make, receiver: Receiver
) -> None:
    first, second = new_desk(), new_desk()
    first.runner._transports = {"webhook": Faulty()}
    delivery = make()
    hint = dispatch([delivery])
    with pytest.raises(RuntimeError, match="a bug"):
        first.run(hint)
    renewed = store.renew([(hint.dispatch_id, hint.token + 1)], 25)
    assert renewed, "it is still held, but"
    assert first.recorder._open == set(), "nobody renews it"
    second.run(sweep_takes(hint.dispatch_id))
    ended(hint)
    delivery.refresh_from_db()
    assert delivery.state is DeliveryStatus.DELIVERED
    assert len(receiver.requests) == 1
