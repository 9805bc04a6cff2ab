"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout: float = 15.0, every_s: float = 0.05) -> T:
    """The first truthy value of `condition()`; AssertionError when there is none in time."""
    ends_at = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > ends_at:
            raise AssertionError(f"not within {timeout:g} s; last value: {value!r}")
        time.sleep(every_s)
