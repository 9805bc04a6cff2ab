"""What is slow to find out is found out on a thread, and kept for some seconds: no page waits long for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from confluent_kafka import KafkaException
from django.db import Error, connection
from redis import RedisError

T = TypeVar("T")

WAIT_S: Final = 0.7  # a page says so within a second
POOL: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="system-look")


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """`value` as it was `age_s` ago; None with the reason in `error`."""

    value: T | None
    error: str = ""
    age_s: float = 0.0


class Kept(Generic[T]):
    """One value of this process. Older than `fresh_s` it is looked up again, on a thread; who asks gets the last one meanwhile,
    and waits for the new one only where there is none younger than `old_s`. Nobody waits longer than WAIT_S."""

    def __init__(self, fresh_s: float, old_s: float) -> None:
        self._fresh_s, self._old_s = fresh_s, old_s
        self._lock = threading.Lock()
        self._key: Hashable = None
        self._looking: Future[None] | None = None
        self._taken_at = float("-inf")
        self._look: Look[T] = Look(None, "no answer yet")

    def get(self, key: Hashable, look: Callable[[], T]) -> Look[T]:
        """`key`: what the value is of; of another one the last value says nothing."""
        with self._lock:
            if key != self._key:
                self._key, self._taken_at, self._looking = key, float("-inf"), None
                self._look = Look(None, f"no answer within {WAIT_S} s")
            age_s = time.monotonic() - self._taken_at
            if age_s >= self._fresh_s and self._looking is None:
                self._looking = POOL.submit(self._take, key, look)
            looking = self._looking
        if looking is not None and age_s >= self._old_s:
            wait([looking], WAIT_S)
        with self._lock:
            age_s = time.monotonic() - self._taken_at
            return Look(self._look.value, self._look.error, age_s if self._look.value is not None else 0.0)

    def forget(self) -> None:
        with self._lock:
            self._key, self._looking, self._taken_at = None, None, float("-inf")

    def _take(self, key: Hashable, look: Callable[[], T]) -> None:
        taken: Look[T]
        try:
            taken = Look(look())
        except (KafkaException, RedisError, Error, OSError) as error:
            taken = Look(None, _words(error))
        finally:
            connection.close()  # of this thread; most looks have none
        with self._lock:
            if key == self._key:
                self._look, self._taken_at, self._looking = taken, time.monotonic(), None


def _words(error: Exception) -> str:
    """The first line, without what a driver wraps around it."""
    cause = error.args[0] if error.args else error
    text = cause.str() if hasattr(cause, "str") else str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
