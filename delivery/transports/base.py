"""What every channel's transport takes and promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from delivery.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One try of one delivery, ready to send. `context` is the caller's own and comes back untouched."""

    delivery_id: UUID
    endpoint_id: int
    number: int  # of this attempt, from 1
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    timeout_s: float  # for the whole try: name look-up, connect, request and answer
    context: object = None


Record = Callable[[Message, Outcome], None]


class Transport(Protocol):
    """A channel. Safe to use from several threads."""

    def send(self, messages: Sequence[Message], record: Record) -> None:
        """Hand `messages` over; `record` is called exactly once for each as soon as its outcome is known.

        It is called on whatever thread, maybe before `send` returns, and must be cheap: nothing else moves meanwhile.
        `send` blocks only for back-pressure. An expected failure is an Outcome; an exception is a bug.
        """
        ...

    def close(self, deadline_s: float) -> None:
        """Stop: what is in flight may finish within the deadline, what was not started is reported as deferred."""
        ...
