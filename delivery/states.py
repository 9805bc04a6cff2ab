"""The states of a delivery and the one table of legal moves. Pure."""

from __future__ import annotations

from django.db import models


class DeliveryStatus(models.TextChoices):
    """Where a delivery stands. "Held" (breaker, limit, pause) is a reason with a time, not a state."""

    PENDING = "pending", "Pending"  # planned, no attempt of this round has ended yet
    RETRYING = "retrying", "Retrying"  # at least one attempt failed; another is due
    DELIVERED = "delivered", "Delivered"  # the receiver answered 2xx
    DEAD = "dead", "Dead"  # spent, too old, or refused for good: a dead letter
    CANCELLED = "cancelled", "Cancelled"  # by hand, before it ended

    @property
    def tone(self) -> str:
        """The colour role of the console's dot."""
        return _TONES[self]


_TONES = {
    DeliveryStatus.PENDING: "info",
    DeliveryStatus.RETRYING: "warn",
    DeliveryStatus.DELIVERED: "good",
    DeliveryStatus.DEAD: "bad",
    DeliveryStatus.CANCELLED: "mute",
}

OPEN_STATUSES = (DeliveryStatus.PENDING, DeliveryStatus.RETRYING)

# A replay may start again from every end (docs/adr/0006): receivers lose what they had accepted, too.
LEGAL_MOVES: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.PENDING: frozenset(
        {DeliveryStatus.DELIVERED, DeliveryStatus.RETRYING, DeliveryStatus.DEAD, DeliveryStatus.CANCELLED}
    ),
    DeliveryStatus.RETRYING: frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.DEAD, DeliveryStatus.CANCELLED}),
    DeliveryStatus.DELIVERED: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.DEAD: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.CANCELLED: frozenset({DeliveryStatus.PENDING}),
}


def sources_of(target: DeliveryStatus) -> list[str]:
    """The states from which `target` may be reached, for a conditional UPDATE's WHERE."""
    return [source.value for source, targets in LEGAL_MOVES.items() if target in targets]
