"""Collects what a transport reports, so that a test can wait for it."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

from delivery.outcome import Outcome
from delivery.transports.base import Message


class Outcomes:
    """`record` is a Transport's callback; it fails the test's wait when a message is reported twice."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reports: list[tuple[Message, Outcome]] = []

    def record(self, message: Message, outcome: Outcome) -> None:
        with self._changed:
            self._reports.append((message, outcome))
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._reports)

    def wait_for(self, count: int, timeout: float = 15.0) -> list[tuple[Message, Outcome]]:
        """All reports once there are at least `count`, in the order they came."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._reports) >= count, timeout):
                raise AssertionError(f"{len(self._reports)} of {count} outcomes came within {timeout} s")
            reports = list(self._reports)
        ids = [message.delivery_id for message, _ in reports]
        assert len(set(ids)) == len(ids), "a message was reported twice"
        return reports

    def of(self, message: Message, timeout: float = 15.0) -> Outcome:
        """The outcome of `message`, once there is one."""

        def found() -> Outcome | None:
            return next((outcome for each, outcome in self._reports if each is message), None)

        with self._changed:
            outcome = self._changed.wait_for(found, timeout)
        assert outcome is not None, f"no outcome within {timeout} s"
        return outcome


def make_message(
    url: str,
    *,
    endpoint_id: int = 1,
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),),
    body: bytes = b'{"n":1}',
    timeout_s: float = 5.0,
    delivery_id: UUID | None = None,
) -> Message:
    return Message(delivery_id or uuid4(), endpoint_id, 1, url, headers, body, timeout_s)
