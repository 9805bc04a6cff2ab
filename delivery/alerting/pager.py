"""Sends the pages that are due: each channel with threads of its own, each contact one page at a time.

A contact that cannot be reached rests, longer from failure to failure; its pages wait in their rows, for as long as it takes.
When it answers again they follow each other at once.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from delivery.alerting import contacts, outbox
from delivery.alerting.calling import Answer, Call, Result
from delivery.models import ContactChannel

logger = logging.getLogger(__name__)

START_WITHIN_S: Final = 10.0  # of its claim; later another pager may soon have it
FIRST_REST_S, REST_MOST_S = 2.0, 90.0
RETRY_AFTER_MOST_S = 600.0  # what a service asks for is heeded up to here
WAIT_S = 0.25


@dataclass(slots=True)
class Rest:
    failures: int
    until: datetime


def rest_s(failures: int) -> float:
    """2, 4, 8 … 90 seconds."""
    return float(min(REST_MOST_S, FIRST_REST_S * 2 ** min(failures - 1, 10)))


def send(call: Call, claimed_at: float) -> Answer:
    """In a thread. A call that this process came to late, because it was stopped or starved, is not made: its claim may be
    over, and a trigger after its resolve would open the incident again. `claimed_at`: monotonic seconds."""
    if time.monotonic() - claimed_at > START_WITHIN_S:
        return Answer.later("It was not sent in time.")
    return contacts.send(call)


def _answer(future: Future[Answer]) -> Answer:
    """A fault of ours with one page is logged and tried again; it does not stop the others."""
    fault = future.exception()
    if fault is None:
        return future.result()
    logger.error("page.failed", exc_info=fault)
    return Answer.later(f"A fault of ours: {type(fault).__name__}.")


class Pager:
    """One thread drives it by `step`; the threads below only send."""

    def __init__(self) -> None:
        self._threads = {
            channel: ThreadPoolExecutor(outbox.THREADS, f"pages-{channel}") for channel in ContactChannel.values
        }
        self._sending: dict[Future[Answer], Call] = {}
        self._rests: dict[int, Rest] = {}

    def step(self, now: datetime) -> bool:
        """Record what was answered, send what is due. True while something is on its way."""
        self._record(self._answered(), now)
        claimed_at = time.monotonic()
        for call in outbox.claim(now, self._busy(now), self._free()):
            self._sending[self._threads[call.channel].submit(send, call, claimed_at)] = call
        return bool(self._sending)

    def close(self, now: datetime) -> None:
        """What is being sent is still recorded."""
        for threads in self._threads.values():
            threads.shutdown(wait=True, cancel_futures=True)
        self._record({future for future in self._sending if not future.cancelled()}, now)
        self._sending.clear()

    def _answered(self) -> set[Future[Answer]]:
        return wait(self._sending, WAIT_S, FIRST_COMPLETED).done if self._sending else set()

    def _free(self) -> dict[str, int]:
        """What is claimed is sent at once: nothing waits for a thread while its lease runs out."""
        used = Counter(call.channel for call in self._sending.values())
        return {channel: outbox.THREADS - used[channel] for channel in self._threads}

    def _busy(self, now: datetime) -> set[int]:
        resting = {contact_id for contact_id, rest in self._rests.items() if rest.until > now}
        return resting | {call.contact_id for call in self._sending.values()}

    def _record(self, answered: set[Future[Answer]], now: datetime) -> None:
        for future in answered:
            call, answer = self._sending.pop(future), _answer(future)
            outbox.record(call, answer, now, self._again_at(call, answer, now))

    def _again_at(self, call: Call, answer: Answer, now: datetime) -> datetime:
        """Also decides whether the contact rests."""
        if answer.result is not Result.LATER:
            self._rests.pop(call.contact_id, None)
            return now
        before = self._rests.get(call.contact_id)
        failures = before.failures + 1 if before else 1
        seconds = rest_s(failures) * random.uniform(0.9, 1.1)  # noqa: S311 - no secret hangs on it
        if answer.retry_after_s is not None:
            seconds = min(max(seconds, answer.retry_after_s), RETRY_AFTER_MOST_S)
        until = now + timedelta(seconds=seconds)
        self._rests[call.contact_id] = Rest(failures, until)
        return until
