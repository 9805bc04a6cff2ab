"""The preview of a subscription: which of the tenant's last events would it have got? For its forms, and read alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.forms import ModelForm
from django.http import QueryDict

from subscriptions.dry_run import LOOKS_MOST, Rule, Verdict, verdicts
from subscriptions.filters import validate_filters
from subscriptions.models import Subscription

BUTTON = "_preview"
LAST = "_preview_last"
LOOKS_AT = 100
# Of each kind; the counts are of all.
SHOWN = 10
DECIDING = ("tenant", "types", "tags", "filters")


@dataclass(slots=True)
class Preview:
    """`matched` and `missed`: the newest of each, `total` how many were looked at."""

    rule: Rule
    total: int = 0
    matches: int = 0
    matched: list[Verdict] = field(default_factory=list)
    missed: list[Verdict] = field(default_factory=list)

    @property
    def misses(self) -> int:
        return self.total - self.matches

    def add(self, verdict: Verdict) -> None:
        self.total += 1
        self.matches += not verdict.failed
        found = self.missed if verdict.failed else self.matched
        if len(found) < SHOWN:
            found.append(verdict)

    def reasons(self) -> list[tuple[Verdict, str]]:
        """Of those that did not match, with why not."""
        return [(verdict, why_not(self.rule, verdict)) for verdict in self.missed]


def previewed(form: type[ModelForm[Subscription]]) -> type[ModelForm[Subscription]]:
    """The same form, never ready to be saved. It says what is wrong with the fields that decide; others may be empty yet."""

    class Previewed(form):  # type: ignore[valid-type, misc]
        def is_valid(self) -> bool:
            for name in self.errors.keys() - set(DECIDING):
                del self.errors[name]
            return False

    return Previewed


def look_back(data: QueryDict) -> int:
    """How many events are asked for; what is no number is the usual one."""
    text = data.get(LAST) or ""
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else LOOKS_AT
    return min(max(wanted, 1), LOOKS_MOST)


def preview_of(form: ModelForm[Subscription], last: int) -> Preview | None:
    """None while what decides is wrong; the form then says where."""
    cleaned: dict[str, Any] = getattr(form, "cleaned_data", {})
    tenant = cleaned.get("tenant")
    tenant_id = tenant.pk if tenant is not None else form.instance.tenant_id
    if tenant_id is None or any(name not in cleaned for name in DECIDING[1:]):
        return None
    rule = Rule(tuple(cleaned["types"]), tuple(cleaned["tags"]), tuple(cleaned["filters"]))
    return preview_of_rule(rule, tenant_id, last)


def preview_of_rule(rule: Rule, tenant_id: int, last: int) -> Preview:
    """The rule's filters are valid."""
    found = Preview(rule)
    for verdict in verdicts(rule, tenant_id, last):
        found.add(verdict)
    return found


def rule_of(row: Subscription) -> Rule | None:
    """None when its stored filters got past the checks: then nothing is known."""
    return None if validate_filters(row.filters) else Rule(tuple(row.types), tuple(row.tags), tuple(row.filters))


def why_not(rule: Rule, verdict: Verdict) -> str:
    """In words, what of the rule an event did not fulfil; "" when it matched."""
    if not verdict.failed:
        return ""
    if verdict.failed == "types":
        return "its type is none of these"
    if verdict.failed == "tags":
        tags = ", ".join(verdict.event.tags)
        return f"none of the tags; it has {tags}" if tags else "none of the tags; it has none"
    number = int(verdict.failed.partition("[")[2].rstrip("]"))
    return f"filter {number + 1} does not hold: {json.dumps(rule.filters[number], ensure_ascii=False)}"
