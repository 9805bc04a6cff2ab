"""The audit trail's filters. They live in the URL: ?tenant=acme&action=endpoint&actor=eva&target=endpoint:7&since=…&until=…"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from django.db.models import QuerySet

from audit import store
from audit.models import AuditEntry
from audit.trail import LONGEST
from delivery.console.audit_words import NOUNS, action_words, actions_of, noun_words, target_words
from delivery.console.filters import Choices, Pill

# How far an entry's id and its time may disagree: a transaction takes its time, and its id, some seconds before another one
# that began later and committed first.
SLACK: Final = timedelta(minutes=5)
ACTOR_KINDS: Final = ("user", "key", "system")
NAMES: Final = ("tenant", "action", "actor", "target", "since", "until")
LABELS: Final = {
    "tenant": "Chain",
    "action": "Action",
    "actor": "Who",
    "target": "On",
    "since": "Since",
    "until": "Until",
}
MOMENT_TAKES = "takes a moment in UTC, such as 2025-11-05T12:00"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is applied. `action`: one action, or a noun, which is all of its actions. `problems`: of values that are not."""

    tenant: str = ""
    action: str = ""
    actor: str = ""
    target: str = ""
    since: str = ""
    until: str = ""
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Mapping[str, str], chains: Sequence[str]) -> AuditFilter:
        """From the URL. A chain that is none of `chains` and an unknown action are as good as absent."""
        given = {name: query.get(name, "").strip() for name in NAMES}
        given["tenant"] = given["tenant"] if given["tenant"] in chains else ""
        given["action"] = given["action"] if given["action"] in _known_actions() else ""
        for name in ("actor", "target"):
            given[name] = given[name] if "\0" not in given[name] and len(given[name]) <= LONGEST[name] else ""
        wrong = [name for name in ("since", "until") if given[name] and moment(given[name]) is None]
        problems = tuple(f"{LABELS[name]} {MOMENT_TAKES}." for name in wrong)
        return cls(**given | dict.fromkeys(wrong, ""), problems=problems)

    @property
    def values(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in NAMES if getattr(self, name)}

    @property
    def query(self) -> str:
        return urlencode(self.values)

    @property
    def pills(self) -> list[Pill]:
        """What is applied, each with the way to take it away."""
        return [
            Pill(
                LABELS[name],
                _shown(name, value),
                urlencode({key: self.values[key] for key in self.values if key != name}),
            )
            for name, value in self.values.items()
        ]

    def narrow(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Each by an index that ends in the id (audit's migration 0005), in whose order the pages go."""
        if self.tenant:
            rows = rows.filter(chain=self.tenant)
        if self.action:
            rows = _among(rows, "action", actions_of(self.action) if self.action in NOUNS else [self.action])
        if self.actor:
            rows = _among(rows, "actor", _named(self.actor, ACTOR_KINDS))
        if self.target:
            rows = _among(rows, "target", _named(self.target, [*NOUNS, "chain", "event"]))
        return self._within_time(rows)

    def _within_time(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The ids' bounds let a page begin where the time does, and not where the trail ends."""
        since, until = moment(self.since), moment(self.until)
        if since is not None:
            first = AuditEntry.objects.filter(at__lt=since - SLACK).order_by("-at").values_list("id", flat=True).first()
            rows = rows.filter(at__gte=since, id__gt=first or 0)
        if until is not None:
            last = AuditEntry.objects.filter(at__gte=until + SLACK).order_by("at").values_list("id", flat=True).first()
            rows = rows.filter(at__lt=until)
            rows = rows.filter(id__lt=last) if last is not None else rows
        return rows


def action_choices() -> list[tuple[str, Choices]]:
    """Grouped by what they are about; a group's first choice is all of it."""
    return [
        (label, [(noun, f"{label}: anything"), *((action, action_words(action)) for action in actions_of(noun))])
        for noun, (label, _) in NOUNS.items()
    ]


def moment(text: str) -> datetime | None:
    """ISO 8601 or what a datetime-local field sends; without a zone it is UTC. None when it is neither."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _known_actions() -> set[str]:
    return {choice for _, choices in action_choices() for choice, _ in choices}


def _among(rows: QuerySet[AuditEntry], column: str, values: Sequence[str]) -> QuerySet[AuditEntry]:
    """Of several values those that there are, found by a probe each: of a list PostgreSQL believes that some rows fit, and
    would go through the whole trail for them."""
    if len(values) > 1:
        values = store.existing(column, values)
        if not values:
            return rows.none()
    return rows.filter(**{column: values[0]} if len(values) == 1 else {f"{column}__in": values})


def _named(text: str, kinds: Sequence[str]) -> list[str]:
    """`text` with its kind before it (user:eva), or whichever kind it is of."""
    return [text] if ":" in text else [text, *(f"{kind}:{text}" for kind in kinds)]


def _shown(name: str, value: str) -> str:
    if name == "action":
        return noun_words(value) if value in NOUNS else action_words(value)
    return target_words(value) if name == "target" else value


assert {field.name for field in fields(AuditFilter)} == {*NAMES, "problems"}
