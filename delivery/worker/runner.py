"""The worker's side of a dispatch: claim it, load it, hand its messages to the transports."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from delivery import spans, store
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.retry import deadline
from delivery.store import Loaded
from delivery.transports.base import Message, Sending, Transport
from delivery.transports.registry import CHANNELS
from delivery.worker.admission import UNKNOWN_HOLD_S, Admission, Admitted
from delivery.worker.held import Batch, Held, Lost
from delivery.worker.recorder import Recorder
from eventcenter.tracing.w3c import trace_id_of
from eventcenter.worker import instance_name
from subscriptions.retry_policy import DEFAULT_POLICY, PolicyError, RetryPolicy, parse_policy
from subscriptions.routing import DeliverySettings, Sink, delivery_settings
from subscriptions.templating.errors import MissingSecretError, TemplateError

logger = logging.getLogger(__name__)

# What was reported last is recorded even when nothing is left of the deadline.
RECORD_LAST_S = 5.0


class Runner:
    """Runs dispatches of this process. Safe for several threads; `close` finishes what is in flight."""

    def __init__(self, transports: Mapping[str, Transport], recorder: Recorder, admission: Admission) -> None:
        self._transports = transports
        self._recorder = recorder
        self._admission = admission
        self._policies: dict[int, tuple[object, RetryPolicy]] = {}

    def run(self, dispatch_id: int, token: int) -> int:
        """Returns how many deliveries were taken; 0 when somebody else holds the dispatch."""
        claimed = store.claim(dispatch_id, token, instance_name(), settings.DISPATCH_LEASE_S)
        if claimed is None:
            return 0
        loaded = store.load(claimed)
        lost = [Lost(*each) for each in zip(claimed.lost_tokens, claimed.lost_workers, strict=True)]
        batch = Batch(dispatch_id, token + 1, len(loaded), lost)
        self._recorder.track(batch)
        try:
            self._send(batch, loaded, _settings_for(loaded))
        except BaseException:  # its lease must run out, or nobody would ever see to what is left of it
            self._recorder.abandon(batch)
            raise
        return len(loaded)

    def close(self, deadline_s: float) -> None:
        """All channels at once, then what they reported is recorded."""
        ends_at = time.monotonic() + deadline_s
        try:
            with ThreadPoolExecutor(len(self._transports), "close") as pool:
                closing = [pool.submit(transport.close, deadline_s) for transport in self._transports.values()]
                for each in closing:
                    each.result()
        finally:
            self._recorder.stop(max(ends_at - time.monotonic(), RECORD_LAST_S))

    def _send(self, batch: Batch, loaded: Sequence[Loaded], known: DeliverySettings) -> None:
        now = timezone.now()
        decision = self._admission.decide(self._grouped(batch, loaded, known, now), known.sinks, now)
        for held, outcome in decision.refused:
            self._recorder.put(held, outcome)
        messages: dict[str, list[Message]] = {}
        for admitted in decision.admitted:
            made = self._messages(admitted)
            if made:
                messages.setdefault(admitted.sink.channel, []).extend(made)
        for channel, group in messages.items():
            self._transports[channel].send(group, self._record)

    def _grouped(
        self, batch: Batch, loaded: Sequence[Loaded], known: DeliverySettings, now: datetime
    ) -> dict[int, list[Held]]:
        """By endpoint; what is past its time or its event's is recorded here."""
        groups: dict[int, list[Held]] = {}
        for item in loaded:
            held = Held(
                batch, item, self._policy(item.subscription_id, known), known.orderings.get(item.subscription_id)
            )
            refusal = _by_age(held, now)
            if refusal is None:
                groups.setdefault(item.endpoint_id, []).append(held)
            else:
                self._recorder.put(held, refusal)
        return groups

    def _messages(self, admitted: Admitted) -> list[Message]:
        messages = [self._message(held, admitted.sink) for held in admitted.helds]
        made = [message for message in messages if message is not None]
        if admitted.slots is not None:
            for place, message in enumerate(made):
                message.start_at = admitted.slots.first_at + place * admitted.slots.spacing_s
                message.spacing_s = admitted.slots.spacing_s
        return made

    def _message(self, held: Held, sink: Sink) -> Message | None:
        """None, and recorded, when none can be made: that must neither hold up the rest nor be tried for ever."""
        loaded = held.loaded
        assert loaded.body is not None
        parent, span_id = spans.outgoing(loaded.traceparent or "")
        if span_id:
            held = replace(held, span_id=span_id, channel=sink.channel)
        now, state = int(time.time()), loaded.tracestate or ""
        sending = Sending(loaded.id, held.number, loaded.body, now, parent, held.replay, held, state)
        try:
            return CHANNELS[sink.channel].build(sink, sending)
        except MissingSecretError as error:
            outcome = deferred(ErrorKind.UNSIGNED, str(error), UNKNOWN_HOLD_S)
        except TemplateError as error:
            outcome = Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.TEMPLATE, error=str(error))
        except Exception:  # whatever one delivery holds, the rest of its batch goes on
            ids = {"delivery_id": str(loaded.id), "trace_id": trace_id_of(loaded.traceparent)}
            logger.exception("runner.message_fault", extra=ids)
            outcome = _FAULT
        self._recorder.put(held, outcome)
        return None

    def _record(self, message: Message, outcome: Outcome) -> None:
        assert isinstance(message.context, Held)
        self._recorder.put(message.context, outcome)

    def _policy(self, subscription_id: int, known: DeliverySettings) -> RetryPolicy:
        data = known.policies.get(subscription_id)
        if data is None:
            return DEFAULT_POLICY
        kept = self._policies.get(subscription_id)
        if kept is None or kept[0] is not data:
            kept = self._policies[subscription_id] = (data, _parsed(subscription_id, data))
        return kept[1]


def _parsed(subscription_id: int, data: Mapping[str, object]) -> RetryPolicy:
    try:
        return parse_policy(data)
    except PolicyError as error:
        logger.error("policy.unusable", extra={"subscription_id": subscription_id, "why": str(error)})
        return DEFAULT_POLICY


def _by_age(held: Held, now: datetime) -> Outcome | None:
    """What waited for its turn, or for us, beyond its maximum age is not sent any more."""
    if held.loaded.body is None:
        return _EXPIRED
    return _TOO_OLD if now >= deadline(held.policy, held.loaded.round_at) else None


_EXPIRED = Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.EVENT_EXPIRED, error="The event is past its retention.")
_FAULT = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.INTERNAL, error="The request could not be made.")
_TOO_OLD = deferred(ErrorKind.BACKLOG, "The maximum age is over.", 0.0)


def _settings_for(loaded: Sequence[Loaded]) -> DeliverySettings:
    """Fresh ones when something is not in those at hand: made since the last look, or deleted; the consumer may be ahead."""
    known = delivery_settings.get()
    if all(item.endpoint_id in known.sinks and item.subscription_id in known.policies for item in loaded):
        return known
    return delivery_settings.reload()
