"""How far back the page looks: ?period=. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from delivery.objectives.reading import Span

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """`step`: of its charts. A span begins at a multiple of `begins`, a whole hour wherever hours are kept."""

    key: str
    words: str
    length: timedelta
    step: timedelta
    begins: timedelta
    step_words: str

    @property
    def title(self) -> str:
        return f"The last {self.words.removeprefix('1 ')}"

    def span(self, now: datetime) -> Span:
        """It ends with the last full minute, which counts no more."""
        until = now.replace(second=0, microsecond=0)
        since = until - self.length
        return Span(since - (since - _EPOCH) % self.begins, until)


PERIODS = {
    period.key: period
    for period in (
        Period("1h", "1 hour", HOUR, MINUTE, MINUTE, "minute"),
        Period("24h", "24 hours", 24 * HOUR, 15 * MINUTE, HOUR, "15 minutes"),
        Period("7d", "7 days", 7 * 24 * HOUR, 2 * HOUR, 2 * HOUR, "2 hours"),
    )
}
DEFAULT = PERIODS["1h"]


def chosen(value: str | None) -> Period:
    """What is no period is as good as none."""
    return PERIODS.get(value or "", DEFAULT)
