"""Which deliveries a replay, or a cancel of many, takes, as data. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from delivery.outcome import ErrorKind
from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.search import LENGTH_MOST, Sought, sought

OPEN = tuple(status.value for status in OPEN_STATUSES)
ENDED = tuple(status.value for status in DeliveryStatus if status not in OPEN_STATUSES)
MISSED = (DeliveryStatus.DEAD.value, DeliveryStatus.CANCELLED.value)
IDS_MOST = 10_000  # as text they are 400 KB of a request; more than that is a filter's work
TYPES_MOST = 50
TYPE_LENGTH_MOST = 200
TAGS_MOST = 50
CODES_MOST = 20
NO_CODE = "none"
ERRORS = tuple(kind.value for kind in ErrorKind if kind)
BACK_LENGTH_MOST = 2_000
SHOWN_MOST = 3
_CODE = re.compile(r"[1-5](\d\d|xx)")

T = TypeVar("T")
Problems = list[tuple[str, str]]


class CriteriaError(Exception):
    """`problems`: (field, what it takes), one for each wrong field."""

    def __init__(self, problems: Problems) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in problems))
        self.problems = problems


class UnknownError(CriteriaError):
    """The fields name what does not exist, or is not to be seen: the two are not told apart."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """All that is given must hold; of a tuple, any one. Times: `since` ≤ accepted < `until`; ended at `ended_since` or later.

    `codes` and `errors` are of the last result: "503", "4xx", "none" for what nobody has answered yet; values of ErrorKind.
    `search` is what eventcenter.search.sought makes of it. `back` narrows nothing: the query string of the list of
    deliveries that it came from.
    """

    tenant_id: int | None = None
    endpoint_id: int | None = None
    subscription_id: int | None = None
    statuses: tuple[str, ...] = (DeliveryStatus.DEAD.value,)
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ended_since: datetime | None = None
    ids: tuple[UUID, ...] = ()
    event_id: UUID | None = None
    tags: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    search: str = ""
    back: str = ""

    @property
    def is_explicit(self) -> bool:
        """Names what it takes, so that later deliveries cannot slip in."""
        return bool(self.ids) or self.event_id is not None

    @property
    def sought(self) -> Sought:
        return sought(self.search)

    @property
    def code_ranges(self) -> list[tuple[int, int]]:
        """Of the codes that are numbers: from the first to the last of each."""
        found = [code for code in self.codes if code != NO_CODE]
        return [(int(code.replace("xx", "00")), int(code.replace("xx", "99"))) for code in found]

    @property
    def only_dead(self) -> bool:
        return self.statuses == (DeliveryStatus.DEAD.value,)

    def as_data(self) -> dict[str, object]:
        """Plain JSON that `parse` reads back; what is not given is left out."""
        data: dict[str, object] = {
            "tenant": self.tenant_id,
            "endpoint": self.endpoint_id,
            "subscription": self.subscription_id,
            "status": list(self.statuses),
            "types": list(self.types),
            "since": _iso(self.since),
            "until": _iso(self.until),
            "ended_since": _iso(self.ended_since),
            "ids": [str(item) for item in self.ids],
            "event": str(self.event_id) if self.event_id else None,
            "tags": list(self.tags),
            "codes": list(self.codes),
            "errors": list(self.errors),
            "search": self.search,
            "back": self.back,
        }
        return {name: value for name, value in data.items() if value not in (None, [], "")}


def gap(endpoint_id: int, since: datetime) -> Criteria:
    """All that an endpoint missed since then: what died or was cancelled at that moment or later, whenever it was planned.

    What is still open comes by itself and is not part of it; nor are events for which nothing was planned, because the
    subscription was not active or its filters were others.
    """
    return Criteria(endpoint_id=endpoint_id, statuses=MISSED, ended_since=since)


def parse(data: Mapping[str, object], able: tuple[str, ...] = ENDED) -> Criteria:
    """From plain data as `as_data` gives it. Raises CriteriaError naming every wrong field. `able`: the states that what is
    to be done can begin from, ENDED or OPEN.

    Without `status`, a filter of ENDED takes the dead; everything else all of `able`.
    """
    reading = _Reading(data)
    none: tuple[UUID, ...] = ()
    ids = reading.get("ids", _ids, none)
    event_id = reading.get("event", _uuid, None)
    default = able if ids or event_id or able != ENDED else (DeliveryStatus.DEAD.value,)
    found = Criteria(
        tenant_id=reading.get("tenant", _key, None),
        endpoint_id=reading.get("endpoint", _key, None),
        subscription_id=reading.get("subscription", _key, None),
        statuses=reading.get("status", partial(_statuses, able), default),
        types=reading.get("types", _types, ()),
        since=reading.get("since", _time, None),
        until=reading.get("until", _time, None),
        ended_since=reading.get("ended_since", _time, None),
        ids=ids,
        event_id=event_id,
        tags=reading.get("tags", _tags, ()),
        codes=reading.get("codes", _codes, ()),
        errors=reading.get("errors", _errors, ()),
        search=reading.get("search", _search, ""),
        back=reading.get("back", _back, ""),
    )
    reading.finish(found)
    return found


@dataclass(slots=True)
class _Reading:
    """Reads fields and gathers what is wrong with them."""

    data: Mapping[str, object]
    known: set[str] = field(default_factory=set)
    problems: Problems = field(default_factory=list)

    def get(self, name: str, read: Callable[[object], T], default: T) -> T:
        self.known.add(name)
        value = self.data.get(name)
        if value in (None, "", []):
            return default
        try:
            return read(value)
        except ValueError as error:
            self.problems.append((name, str(error)))
            return default

    def finish(self, found: Criteria) -> None:
        for name in sorted(set(self.data) - self.known):
            self.problems.append((name, f"is not known; takes {', '.join(sorted(self.known))}"))
        if not self.data:
            self.problems.append(("body", f"must have at least one of {', '.join(sorted(self.known))}"))
        if found.since and found.until and found.since >= found.until:
            self.problems.append(("until", "must be later than since"))
        if self.problems:
            raise CriteriaError(self.problems)


def _key(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise ValueError("must be a positive whole number")
    return value


def _uuid(value: object) -> UUID:
    try:
        return UUID(value) if isinstance(value, str) else _refuse("must be a UUID")
    except ValueError:
        return _refuse("must be a UUID")


def _refuse(message: str) -> UUID:
    raise ValueError(message)


def _ids(value: object) -> tuple[UUID, ...]:
    """In their order, each once."""
    items = _list(value, "must be a list of delivery ids", IDS_MOST)
    return tuple(dict.fromkeys(_uuid(item) for item in items))


def _statuses(able: tuple[str, ...], value: object) -> tuple[str, ...]:
    known = f"must be one or more of {', '.join(able)}"
    items = _list([value] if isinstance(value, str) else value, known, len(able))
    if not set(items) <= set(able):
        only = "what has ended can be replayed" if able == ENDED else "what is open can be cancelled"
        raise ValueError(f"{known}: only {only}")
    return tuple(status for status in able if status in items)


def _types(value: object) -> tuple[str, ...]:
    return _names(value, "event types", TYPES_MOST)


def _tags(value: object) -> tuple[str, ...]:
    return _names(value, "tags", TAGS_MOST)


def _names(value: object, what: str, most: int) -> tuple[str, ...]:
    items = _list([value] if isinstance(value, str) else value, f"must be a list of {what}", most)
    if any(not 0 < len(item) <= TYPE_LENGTH_MOST or not item.isprintable() for item in items):
        raise ValueError(f"must be {what} of 1 to {TYPE_LENGTH_MOST} characters")
    return tuple(sorted(set(items)))


def _codes(value: object) -> tuple[str, ...]:
    message = 'must be response codes such as "503", classes such as "4xx", or "none" for no answer yet'
    given = value if isinstance(value, list | tuple) else [value]
    texts = [str(item).lower() if isinstance(item, int) and not isinstance(item, bool) else item for item in given]
    items = [item.lower() for item in _list(texts, message, CODES_MOST)]
    if not all(item == NO_CODE or (_CODE.fullmatch(item) and item.isascii()) for item in items):
        raise ValueError(message)
    return tuple(sorted(set(items)))


def _errors(value: object) -> tuple[str, ...]:
    message = f"must be one or more of {', '.join(ERRORS)}"
    items = _list([value] if isinstance(value, str) else value, message, len(ERRORS))
    if not set(items) <= set(ERRORS):
        raise ValueError(message)
    return tuple(kind for kind in ERRORS if kind in items)


def _search(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > LENGTH_MOST or not sought(text):
        raise ValueError(
            f"must be an id, a plugin, a version, plugin@version or a trace, of at most {LENGTH_MOST} characters"
        )
    return text


def _back(value: object) -> str:
    if not isinstance(value, str) or len(value) > BACK_LENGTH_MOST or not value.isprintable():
        raise ValueError("must be the query string of a list of deliveries")
    return value


def _list(value: object, message: str, most: int) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(message)
    if len(value) > most:
        raise ValueError(f"must have at most {most:,} items")
    return list(value)


def _time(value: object) -> datetime:
    message = 'must be an ISO 8601 time with its zone, such as "2025-11-05T12:00:00Z"'
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1970 < at.year < 9999:
        raise ValueError(message)
    return at.astimezone(UTC)


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the rows that criteria name by id; "" where there is none."""

    tenant: str = ""
    endpoint: str = ""
    subscription: str = ""


def words(criteria: Criteria, names: Names) -> str:
    """One line for people: "dead, of acme / ci-cd, accepted since 2025-11-05 12:00:00 UTC"."""
    owner = " / ".join(part for part in (names.tenant, names.endpoint, names.subscription) if part)
    parts = [
        " or ".join(criteria.statuses),
        _counted(criteria.ids),
        f"of event {criteria.event_id}" if criteria.event_id else "",
        f"of {owner}" if owner else "of all tenants",
        f"of type {_listed(criteria.types)}" if criteria.types else "",
        f"tagged {_listed(criteria.tags)}" if criteria.tags else "",
        f"last answered {_listed(criteria.codes)}".replace(NO_CODE, "nothing yet") if criteria.codes else "",
        f"last error {_listed(criteria.errors).replace('_', ' ')}" if criteria.errors else "",
        f"found by “{criteria.search}”" if criteria.search else "",
        f"accepted since {_shown(criteria.since)}" if criteria.since else "",
        f"accepted before {_shown(criteria.until)}" if criteria.until else "",
        f"ended since {_shown(criteria.ended_since)}" if criteria.ended_since else "",
    ]
    return ", ".join(part for part in parts if part)


def _counted(ids: Sequence[UUID]) -> str:
    return f"{len(ids):,} selected" if ids else ""


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN_MOST} more" if len(items) > SHOWN_MOST else ""
    return " or ".join(items[:SHOWN_MOST]) + more


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
