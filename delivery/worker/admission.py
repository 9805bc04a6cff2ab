"""Who of a claimed batch may be sent now. The others are held: no attempt is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from delivery.health.breakers import Board
from delivery.limiting.limits import Limiter, SlotRequest, Slots
from delivery.limiting.places import Places
from delivery.outcome import ErrorKind, Outcome, OutcomeKind, deferred
from delivery.transports.base import Hold
from delivery.worker.held import Held
from subscriptions.models import EndpointState
from subscriptions.routing import Sink

PAUSED_HOLD_S = 15.0  # for people; delivery.release lets them go when the endpoint is resumed
UNKNOWN_HOLD_S = 60.0
# Another worker has all the places that the endpoint gives.
NO_PLACE_HOLD_S = 0.5

Groups = Mapping[int, Sequence[Held]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Deliveries of one endpoint that may be sent; with a rate limit, when."""

    sink: Sink
    helds: Sequence[Held]
    slots: Slots | None = None


@dataclass(slots=True)
class Decision:
    admitted: list[Admitted] = field(default_factory=list)
    refused: list[tuple[Held, Outcome]] = field(default_factory=list)

    def refuse(self, helds: Sequence[Held], outcome: Outcome) -> None:
        self.refused += [(held, outcome) for held in helds]


class Admission:
    """Asks in the order of cost: settings and breaker in memory, then places, then tokens. Safe for several threads."""

    def __init__(self, board: Board, limiter: Limiter, places: Places) -> None:
        self._board = board
        self._limiter = limiter
        self._places = places

    def decide(self, groups: Groups, sinks: Mapping[int, Sink], now: datetime) -> Decision:
        """`groups`: the batch by endpoint id."""
        decision = Decision()
        limited: list[tuple[Sink, Sequence[Held]]] = []
        self._board.refresh_if_due(now)
        for endpoint_id, helds in groups.items():
            sink = sinks.get(endpoint_id)
            refusal = _by_settings(sink)
            if sink is None or refusal is not None:
                decision.refuse(helds, refusal or _DELETED)
                continue
            wanted = self._by_breaker(sink, helds, decision, now)
            if wanted and sink.max_in_flight:
                wanted = self._by_places(sink, sink.max_in_flight, wanted, decision)
            if wanted and (sink.rate_limit or sink.tenant_rate_limit):
                limited.append((sink, wanted))
            elif wanted:
                decision.admitted.append(Admitted(sink, wanted))
        if limited:
            self._by_rate(limited, decision)
        return decision

    def _by_breaker(self, sink: Sink, helds: Sequence[Held], decision: Decision, now: datetime) -> Sequence[Held]:
        hold = self._board.hold(sink.endpoint_id, now)
        if hold is not None:
            decision.refuse(helds, outcome_of(hold, now))
            return ()
        if not self._board.probe_is_due(sink.endpoint_id, now):
            return helds
        won = self._board.claim_probe(sink.endpoint_id, helds[0].loaded.id, now)
        going = helds[:1] if won else ()
        decision.refuse(helds[len(going) :], _PROBED)
        return going

    def _by_places(self, sink: Sink, cap: int, helds: Sequence[Held], decision: Decision) -> Sequence[Held]:
        if self._places.want(sink.endpoint_id, cap, len(helds)):
            return helds
        decision.refuse(helds, _NO_PLACE)
        return ()

    def _by_rate(self, limited: Sequence[tuple[Sink, Sequence[Held]]], decision: Decision) -> None:
        requests = [
            SlotRequest(sink.endpoint_id, sink.tenant_id, sink.rate_limit, sink.tenant_rate_limit, len(helds))
            for sink, helds in limited
        ]
        for (sink, helds), slots in zip(limited, self._limiter.reserve(requests), strict=True):
            if slots.granted:
                decision.admitted.append(Admitted(sink, helds[: slots.granted], slots))
            waiting = deferred(ErrorKind.RATE_LIMIT, "the rate limit is used up", slots.wait_s)
            decision.refuse(helds[slots.granted :], waiting)


def outcome_of(hold: Hold, now: datetime) -> Outcome:
    hold_s = (hold.until - now).total_seconds() if hold.until else UNKNOWN_HOLD_S
    return deferred(hold.kind, hold.reason, max(hold_s, 0.0))


def _by_settings(sink: Sink | None) -> Outcome | None:
    if sink is None:
        return _DELETED
    if sink.state == EndpointState.DISABLED:
        return _DISABLED
    if sink.state == EndpointState.PAUSED:
        return _PAUSED
    return _UNSIGNED if sink.secrets_unreadable else None


def _permanent(kind: ErrorKind, text: str) -> Outcome:
    return Outcome(OutcomeKind.PERMANENT, error_kind=kind, error=text)


_DELETED = _permanent(ErrorKind.ENDPOINT_DELETED, "The endpoint was deleted.")
_DISABLED = _permanent(ErrorKind.ENDPOINT_DISABLED, "The endpoint is disabled.")
_PAUSED = deferred(ErrorKind.ENDPOINT_PAUSED, "The endpoint is paused.", PAUSED_HOLD_S)
_UNSIGNED = deferred(ErrorKind.UNSIGNED, "The endpoint's signing secrets cannot be read.", UNKNOWN_HOLD_S)
_PROBED = deferred(ErrorKind.BREAKER_OPEN, "The breaker lets one delivery through to find out.", UNKNOWN_HOLD_S)
_NO_PLACE = deferred(ErrorKind.IN_FLIGHT_CAP, "Other workers hold all the places of this endpoint.", NO_PLACE_HOLD_S)
