"""Test-send: one sample event, straight through the endpoint's own channel with its own settings. Nothing is kept of it but
the audit entry: no event, no delivery, no attempt; limits, breaker and pauses are not asked."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import orjson
from django.conf import settings
from django.db import connection

from audit.trail import Actor, record
from delivery.console.wording import OUTCOME_WORDS
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.transports.base import Gate, Message, Sending
from delivery.transports.registry import CHANNELS, ChannelParts
from eventcenter.envelope import Envelope, to_structured
from eventcenter.ids import new_id
from eventcenter.models import EventType
from subscriptions.models import Channel, Endpoint
from subscriptions.routing import Sink, delivery_settings
from subscriptions.templating import TemplateError

DEFAULT_TYPE = "plugin.release.published"
SOURCE = "/event-center/test"
TEST_ATTRIBUTE = "test"  # on the event, on every channel
TEST_HEADER = "x-event-center-test"  # on webhooks, where a template may leave the attribute out
ANSWER_GRACE_S = 3.0  # over the endpoint's own timeout
CLOSE_S = 2.0
SHOWN_BODY_BYTES = 2000


class BusyError(Exception):
    """Another one is on its way there; the text says so to people."""


class CannotSendError(Exception):
    """Nothing could be sent; the text says to people why."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it. `event` is the sample as structured JSON."""

    event: bytes
    outcome: Outcome

    @property
    def is_delivered(self) -> bool:
        return self.outcome.kind is OutcomeKind.DELIVERED

    @property
    def words(self) -> str:
        """One sentence, such as "Delivered: 204 in 12 ms."."""
        found = self.outcome
        status = str(found.status_code) if self.is_delivered and found.status_code else found.error
        took = f" in {found.duration_ms:.0f} ms" if found.duration_ms else ""
        return f"{OUTCOME_WORDS[found.kind]}{': ' if status else ''}{status}{took}."

    @property
    def shown_body(self) -> str:
        """The answer's first bytes, as text."""
        return self.outcome.response_body[:SHOWN_BODY_BYTES].decode(errors="replace")


def send_test(endpoint: Endpoint, actor: Actor, event_type: str = DEFAULT_TYPE) -> Sent:
    """Waits for the answer, at most the endpoint's timeout and a little. Raises CannotSendError.

    Not inside a transaction: it calls somebody else's server.
    """
    body = sample_event(endpoint.tenant.slug, event_type)
    sink = _sink(endpoint)
    sent = Sent(body, _send(CHANNELS[sink.channel], sink, body))
    details: dict[str, object] = {"type": event_type, "outcome": sent.outcome.kind.value}
    details |= {"status": sent.outcome.status_code, "error_kind": sent.outcome.error_kind.value}
    record(endpoint.tenant.slug, actor, "endpoint.test_sent", f"endpoint:{endpoint.pk}", details)
    return sent


def send_alone(endpoint: Endpoint, actor: Actor, event_type: str = DEFAULT_TYPE) -> Sent:
    """`send_test`, one at a time for each endpoint: programs have no patience. Raises BusyError, CannotSendError.

    The lock is the connection's, not a transaction's: nothing is open while somebody else's server is waited for.
    """
    if not _locked("pg_try_advisory_lock", endpoint.pk):
        raise BusyError("A test is on its way there already; wait for its answer.")
    try:
        return send_test(endpoint, actor, event_type)
    finally:
        _locked("pg_advisory_unlock", endpoint.pk)


def _locked(function: Literal["pg_try_advisory_lock", "pg_advisory_unlock"], endpoint_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtext('delivery.test_send'), %s)", [endpoint_id % 2**31])
        return bool(cursor.fetchone()[0])


def sample_types() -> list[str]:
    """The event types that can be sent: active and with an example in their schema; the default one first."""
    found = {row.name for row in EventType.objects.filter(active=True) if row.schema.get("examples")}
    return sorted(found, key=lambda name: (name != DEFAULT_TYPE, name))


def sample_event(tenant: str, event_type: str) -> bytes:
    """An event of the tenant with the data of its newest schema's example, in structured JSON, marked as a test."""
    newest = EventType.objects.filter(active=True, name=event_type).order_by("-version").first()
    if newest is None:
        raise CannotSendError(f"There is no event type {event_type}.")
    examples = newest.schema.get("examples") or []
    if not examples:
        raise CannotSendError(f"The schema of {event_type} has no example to send.")
    data = dict(examples[0])
    if "tenant" in data:
        data["tenant"] = tenant
    envelope = Envelope(
        id=str(new_id()),
        source=SOURCE,
        type=event_type,
        subject=str(data.get("plugin_id", "test")),
        time=datetime.now(UTC),
        tenant=tenant,
        extensions={TEST_ATTRIBUTE: True},
        data=orjson.dumps(data),
    )
    return to_structured(envelope)


def _sink(endpoint: Endpoint) -> Sink:
    sink = delivery_settings.reload().sinks.get(endpoint.pk)
    if sink is None or sink.channel not in CHANNELS:
        raise CannotSendError("This endpoint's channel cannot be reached from here.")
    if sink.secrets_unreadable:
        raise CannotSendError("Its signing secrets cannot be read, and unsigned it must not go.")
    return sink


def _send(parts: ChannelParts, sink: Sink, body: bytes) -> Outcome:
    """Through a transport of its own, so that nothing else waits for it and it waits for nothing else."""
    try:
        message = parts.build(sink, Sending(new_id(), 1, body, int(time.time())))
    except TemplateError as error:
        return Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.TEMPLATE, error=str(error))
    if sink.channel == Channel.WEBHOOK:
        message.headers = [*message.headers, (TEST_HEADER, "true")]
    outcomes: list[Outcome] = []
    done = threading.Event()

    def take(_: Message, outcome: Outcome) -> None:
        outcomes.append(outcome)
        done.set()

    transport = parts.make(Gate())
    try:
        transport.send([message], take)
        done.wait(min(message.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S) + ANSWER_GRACE_S)
    finally:
        transport.close(CLOSE_S)
    return outcomes[0] if outcomes else _NO_ANSWER


_NO_ANSWER = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.TIMEOUT, error="no answer within the deadline")
