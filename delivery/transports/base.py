"""What every channel's transport takes and promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import NamedTuple, Protocol
from uuid import UUID

from delivery.outcome import ErrorKind, Outcome
from eventcenter.tracing.w3c import trace_id_of
from subscriptions.routing import Sink

TRACEPARENT = "traceparent"


class Sending(NamedTuple):
    """One try of one delivery, before its channel gave it a form. A tuple: made for every delivery, and made fast."""

    delivery_id: UUID
    number: int  # of this attempt, from 1
    body: bytes  # the event, canonical structured JSON
    timestamp: int  # epoch seconds now
    traceparent: str = ""
    replay: bool = False
    context: object = None  # the caller's own; comes back untouched
    tracestate: str = ""  # W3C, as the producer gave it; "" in most cases

    @property
    def trace_headers(self) -> list[tuple[str, str]]:
        """W3C Trace Context, on every channel that has headers."""
        if not self.traceparent:
            return []
        given = [(TRACEPARENT, self.traceparent)]
        return [*given, ("tracestate", self.tracestate)] if self.tracestate else given


@dataclass(slots=True)
class Message:
    """One try of one delivery, ready to send. `context` is the caller's own and comes back untouched.

    `start_at` (monotonic seconds, 0.0: at once) is the slot that the rate limit gave; `spacing_s` is the least time
    between two starts to this endpoint.
    """

    delivery_id: UUID
    endpoint_id: int
    number: int  # of this attempt, from 1
    url: str  # where to, as text; for webhooks the URL
    headers: Sequence[tuple[str, str]]
    body: bytes
    timeout_s: float  # for the whole try: name look-up, connect, request and answer
    context: object = None
    sink: Sink | None = None  # for channels that need more of the endpoint than a URL
    start_at: float = 0.0
    spacing_s: float = 0.0


def ids_of(message: Message) -> dict[str, str]:
    """Of a log line about one message."""
    traceparent = next((value for name, value in message.headers if name == TRACEPARENT), "")
    return {"delivery_id": str(message.delivery_id), "trace_id": trace_id_of(traceparent)}


Record = Callable[[Message, Outcome], None]
Build = Callable[[Sink, Sending], Message]


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an endpoint is not called now. `until` None: nobody knows."""

    kind: ErrorKind
    reason: str  # for people
    until: datetime | None = None


def always() -> bool:
    """A gate that never shuts."""
    return True


@dataclass(slots=True)
class Gate:
    """What transports ask before each start. Filled by the worker's other threads; single reads of dicts need no lock.

    `held`: endpoints that are not called now: what waits for them is deferred. `caps`: how many requests to an endpoint
    this process may have in flight, where the endpoint has a limit of its own; they hold until `caps_until` (monotonic
    seconds), after it none of these endpoints is called. `may_start()` false: nothing new at all.

    `loads` is filled by transports: each tells how much of an endpoint's it holds, waiting and in flight.
    """

    may_start: Callable[[], bool] = always
    held: dict[int, Hold] = field(default_factory=dict)
    caps: dict[int, int] = field(default_factory=dict)
    caps_until: float = inf
    loads: list[Callable[[int], int]] = field(default_factory=list)

    def load_of(self, endpoint_id: int) -> int:
        """How many messages to the endpoint wait or are in flight in this process."""
        return sum(load(endpoint_id) for load in self.loads)


class Transport(Protocol):
    """A channel. Safe to use from several threads."""

    @property
    def waiting(self) -> int:
        """Messages handed over and not started yet, but for those that only wait for their slot."""
        ...

    @property
    def in_flight(self) -> int:
        """Messages that were started and have no outcome yet."""
        ...

    def send(self, messages: Sequence[Message], record: Record) -> None:
        """Hand `messages` over; `record` is called exactly once for each as soon as its outcome is known.

        It is called on whatever thread, maybe before `send` returns, and must be cheap: nothing else moves meanwhile.
        `send` blocks only for back-pressure. An expected failure is an Outcome; an exception is a bug.
        """
        ...

    def close(self, deadline_s: float) -> None:
        """Stop: what is in flight may finish within the deadline, what was not started is reported as deferred."""
        ...
