"""Which incident an alert belongs to, and who is called for it."""

from __future__ import annotations

from datetime import datetime

from delivery.models import Alert


def joined(alert: Alert, now: datetime) -> None:
    """It fires, or fires more severely than before."""


def left(alert: Alert, now: datetime) -> None:
    """It is resolved."""
