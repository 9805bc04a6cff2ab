"""When a signing key is due for rotation, and which reminder of it is due. Pure: lifetimes and the clock come from outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

REMIND_DAYS = (30, 7, 1)  # the scenario's follow-up asks for a reminder; these are the three that calendars use
OVERDUE = 0


@dataclass(frozen=True, slots=True)
class KeyAge:
    """A key that was made at `created_at` and shall be rotated after `lifetime_days`."""

    created_at: datetime
    lifetime_days: int

    @property
    def due_at(self) -> datetime:
        return self.created_at + timedelta(days=self.lifetime_days)

    def reminder(self, now: datetime) -> int | None:
        """The step of REMIND_DAYS that is reached, OVERDUE after the last; None: it is not time yet.

        A step as long as the whole life would remind of a key that has just been made: it is none.
        """
        left = self.due_at - now
        if left <= timedelta(0):
            return OVERDUE
        reached = [days for days in REMIND_DAYS if days < self.lifetime_days and left <= timedelta(days=days)]
        return min(reached, default=None)

    def words(self, now: datetime) -> str:
        """Such as "due in 12 days", "overdue by 3 days"."""
        left = self.due_at - now
        days = abs(left) // timedelta(days=1)
        span = f"{days} day{'' if days == 1 else 's'}" if days else "less than a day"
        return f"overdue by {span}" if left <= timedelta(0) else f"due in {span}"
