"""Filters of a log: choices, exact words, and a span of time. They live in the URL: ?tenant=acme&since=2026-01-31T22:00.

A value that its place does not take filters nothing, and the page says what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime

from delivery.console.filters import Choices, Pill

WORD_LENGTH_MOST = 300
PRESETS = (("Last hour", timedelta(hours=1)), ("24 hours", timedelta(days=1)), ("7 days", timedelta(days=7)))
TAKES_TIME = "takes a time in UTC, such as 2026-01-31T22:00"
TAKES_WORD = f"takes printable text of at most {WORD_LENGTH_MOST} characters"

Value = str | datetime
Read = Callable[[str], Value | None]


@dataclass(frozen=True, slots=True)
class Field:
    """One filter. `kind` is how it is shown: choice, text, search or moment. `value` is None where nothing is asked."""

    name: str
    label: str
    kind: str = "text"
    every: str = ""
    choices: Choices | tuple[()] = ()
    text: str = ""
    value: Value | None = None
    problem: str = ""

    @property
    def shown(self) -> str:
        if isinstance(self.value, datetime):
            return f"{self.value:%Y-%m-%d %H:%M:%S} UTC"
        return dict(self.choices).get(self.text, self.text) if self.kind == "choice" else self.text

    def given(self, text: str) -> Field:
        text = text.strip()
        if not text:
            return self
        value = _READ[self.kind](text) if self.kind != "choice" else (text if text in dict(self.choices) else None)
        if value is None:
            takes = TAKES_TIME if self.kind == "moment" else TAKES_WORD if self.kind != "choice" else ""
            return replace(self, problem=takes and f"{self.label} {takes}.")
        return replace(self, text=text, value=value)


def moment(text: str) -> datetime | None:
    """ISO 8601, or what a datetime-local input sends; UTC where it says nothing else. None: no time that a calendar has."""
    try:
        day = parse_date(text)
        found = datetime(day.year, day.month, day.day) if day else parse_datetime(text.replace(" ", "+"))  # noqa: DTZ001
        if found is None:
            return None
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1970 <= found.year < 9000 else None


def word(text: str) -> str | None:
    return text if text.isprintable() and len(text) <= WORD_LENGTH_MOST else None


_READ: dict[str, Read] = {"text": word, "search": word, "moment": moment}


@dataclass(frozen=True, slots=True)
class LogFilter:
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, query: QueryDict, fields: Sequence[Field]) -> LogFilter:
        return cls(tuple(field.given(query.get(field.name, "")) for field in fields))

    def text(self, name: str) -> str:
        return self.field(name).text

    def moment(self, name: str) -> datetime | None:
        value = self.field(name).value
        return value if isinstance(value, datetime) else None

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    @property
    def applied(self) -> list[Field]:
        return [field for field in self.fields if field.value is not None]

    @property
    def problems(self) -> list[str]:
        return [field.problem for field in self.fields if field.problem]

    @property
    def query(self) -> str:
        return self.query_with()

    def query_with(self, **changes: str) -> str:
        """The applied filters as a query string, with some set otherwise; "" takes one away."""
        values = {field.name: field.text for field in self.applied} | changes
        return urlencode({name: text for name, text in values.items() if text})

    @property
    def pills(self) -> list[Pill]:
        """What is applied, each with the way to take it away."""
        return [Pill(field.label, field.shown, self.query_with(**{field.name: ""})) for field in self.applied]

    def presets(self, now: datetime) -> Iterator[tuple[str, str]]:
        """(words, query string) of the spans that are asked for most."""
        for words, span in PRESETS:
            yield words, self.query_with(since=f"{now - span:%Y-%m-%dT%H:%M}", until="")
