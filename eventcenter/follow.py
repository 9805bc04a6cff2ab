"""Configuration held in memory that follows the database within CHECK_EVERY_S, whoever changed it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import Error

from eventcenter import row_security
from eventcenter.models import ConfigRevision

logger = logging.getLogger(__name__)

T = TypeVar("T")

RELOAD_EVERY_S = 60.0  # some configuration ends by the clock alone: a rotated secret's last day
CHECK_EVERY_S = 1.0  # the promise is 2 s; one indexed single-row read a second and process costs nothing


class Followed(Generic[T]):
    """A value made by `load()` from configuration, made anew when the revision moved. Safe for several threads.

    While the database cannot be asked, the last value stays in use; only the first `get` raises.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._value: T | None = None
        self._revision: int | None = None
        self._checked_at = float("-inf")
        self._loaded_at = float("-inf")

    def get(self) -> T:
        if time.monotonic() - self._checked_at >= CHECK_EVERY_S:
            with self._lock:
                self._refresh_if_due()
        assert self._value is not None
        return self._value

    def reload(self) -> T:
        """Look now, however short the last look was ago."""
        self._checked_at = float("-inf")
        return self.get()

    def forget(self) -> None:
        """As if never loaded."""
        with self._lock:
            self._value = self._revision = None
            self._checked_at = self._loaded_at = float("-inf")

    def _refresh_if_due(self) -> None:
        if time.monotonic() - self._checked_at < CHECK_EVERY_S:
            return
        try:
            # Read the revision first: a change between the two reads is then seen at the next check.
            revision = ConfigRevision.objects.values_list("revision", flat=True).first() or 0
            if revision != self._revision or time.monotonic() - self._loaded_at >= RELOAD_EVERY_S:
                with row_security.unscoped():  # it is every request's, whichever is the first to need it
                    self._value = self._load()
                self._revision = revision
                self._loaded_at = time.monotonic()
        except Error:
            if self._value is None:
                raise
            logger.warning("config.refresh_failed", exc_info=True)
        self._checked_at = time.monotonic()
