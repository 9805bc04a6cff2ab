"""The worker's side of a dispatch: claim it, load it, hand its messages to the transports."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from django.conf import settings

from delivery import store
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.retry import DEFAULT_POLICY, PolicyError, RetryPolicy, parse_policy
from delivery.store import Loaded
from delivery.transports.base import Message, Transport
from delivery.transports.webhook.request import ContentMode, Target, build_message, make_target
from delivery.worker.held import Batch, Held
from delivery.worker.recorder import Recorder
from eventcenter.worker import instance_name
from subscriptions.models import EndpointState
from subscriptions.routing import DeliverySettings, Sink, delivery_settings

logger = logging.getLogger(__name__)

PAUSED_HOLD_S = 15.0  # how soon a resumed endpoint's waiting deliveries go out, at the latest


class Runner:
    """Runs dispatches of this process. Safe for several threads; `close` finishes what is in flight."""

    def __init__(self, transports: Mapping[str, Transport], recorder: Recorder) -> None:
        self._transports = transports
        self._recorder = recorder
        self._targets: dict[int, tuple[Sink, Target]] = {}
        self._policies: dict[int, tuple[object, RetryPolicy]] = {}

    def run(self, dispatch_id: int, token: int) -> int:
        """Returns how many deliveries were taken; 0 when somebody else holds the dispatch."""
        claimed = store.claim(dispatch_id, token, instance_name(), settings.DISPATCH_LEASE_S)
        if claimed is None:
            return 0
        loaded = store.load(claimed)
        batch = Batch(dispatch_id, token + 1, len(loaded))
        self._recorder.track(batch)
        self._send(batch, loaded, _settings_for(loaded))
        return len(loaded)

    def close(self, deadline_s: float) -> None:
        ends_at = time.monotonic() + deadline_s
        try:
            for transport in self._transports.values():
                transport.close(max(ends_at - time.monotonic(), 0.1))
        finally:
            self._recorder.stop(max(ends_at - time.monotonic(), 1.0))

    def _send(self, batch: Batch, loaded: Sequence[Loaded], known: DeliverySettings) -> None:
        messages: dict[str, list[Message]] = {}
        timestamp = int(time.time())
        for item in loaded:
            held = Held(batch, item, self._policy(item.subscription_id, known))
            prepared = self._prepare(held, known.sinks.get(item.endpoint_id), timestamp)
            if isinstance(prepared, Outcome):
                self._recorder.put(held, prepared)
            else:
                messages.setdefault(known.sinks[item.endpoint_id].channel, []).append(prepared)
        for channel, group in messages.items():
            self._transports[channel].send(group, self._record)

    def _prepare(self, held: Held, sink: Sink | None, timestamp: int) -> Message | Outcome:
        """The message to send, or what is decided without sending."""
        loaded = held.loaded
        if sink is None:
            return _DELETED
        if sink.state != EndpointState.ENABLED:
            return _PAUSED if sink.state == EndpointState.PAUSED else _DISABLED
        if loaded.body is None:
            return _EXPIRED
        try:
            if sink.channel not in self._transports:
                raise ValueError(f"no transport for the channel {sink.channel!r}")
            return self._message(held, loaded.body, sink, timestamp)
        except Exception:  # one that cannot be made must neither hold up the rest of its batch nor be tried for ever
            logger.exception("runner.message_fault", extra={"delivery_id": str(loaded.id)})
            return _FAULT

    def _record(self, message: Message, outcome: Outcome) -> None:
        assert isinstance(message.context, Held)
        self._recorder.put(message.context, outcome)

    def _message(self, held: Held, body: bytes, sink: Sink, timestamp: int) -> Message:
        loaded = held.loaded
        return build_message(
            self._target(sink),
            delivery_id=loaded.id,
            number=held.number,
            body=body,
            timestamp=timestamp,
            traceparent=loaded.traceparent or "",
            replay=held.replay,
            context=held,
        )

    def _target(self, sink: Sink) -> Target:
        """Made once for each state of the settings: the same Sink object stands for the same state."""
        known = self._targets.get(sink.endpoint_id)
        if known is None or known[0] is not sink:
            target = make_target(
                endpoint_id=sink.endpoint_id,
                url=sink.url,
                secrets=sink.secrets,
                mode=ContentMode(sink.content_mode),
                timeout_s=min(sink.timeout_s, settings.WEBHOOK_MAX_TIMEOUT_S),
                custom_headers=sink.headers,
            )
            known = self._targets[sink.endpoint_id] = (sink, target)
        return known[1]

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


_EXPIRED = Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.EVENT_EXPIRED, error="The event is past its retention.")
_FAULT = Outcome(OutcomeKind.FAILED, error_kind=ErrorKind.INTERNAL, error="The request could not be made.")
_DELETED = Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.ENDPOINT_DELETED, error="The endpoint was deleted.")
_DISABLED = Outcome(OutcomeKind.PERMANENT, error_kind=ErrorKind.ENDPOINT_DISABLED, error="The endpoint is disabled.")
_PAUSED = Outcome(
    OutcomeKind.DEFERRED,
    error_kind=ErrorKind.ENDPOINT_PAUSED,
    error="The endpoint is paused.",
    retry_after_s=PAUSED_HOLD_S,
)


def _settings_for(loaded: Sequence[Loaded]) -> DeliverySettings:
    """Fresh ones when something is not in those at hand: made since the last look, or deleted; the consumer may be ahead."""
    known = delivery_settings.get()
    if all(item.endpoint_id in known.sinks and item.subscription_id in known.policies for item in loaded):
        return known
    return delivery_settings.reload()
