"""What people changed lately, from the audit trail, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.models import AuditEntry
from audit.trail import PLATFORM_CHAIN
from subscriptions.models import Endpoint, Subscription

SHOWN_MOST = 8
LOOKED_AT = 5_000  # entries of all chains, when several are asked for: the trail has no index of all of them by who
# Who comes and goes, and what the system says by itself: alerts have their own place on the page.
UNTOLD = ("sign_in.succeeded", "sign_in.failed", "sign_out", "alert.raised", "alert.resolved", "alert.switched_off")
# Verbs whose past tense is not the word itself, or that say too little alone.
VERBS = {
    "changed": "edited",
    "passed_over": "passed over",
    "secret_rotated": "rotated the signing key of",
    "secret_added": "added a signing key to",
    "secret_revoked": "revoked a signing key of",
    "test_sent": "sent a test to",
    "drafted": "prepared",
    "start": "started",
    "resume": "resumed",
    "pause": "paused",
    "cancel": "cancelled",
    "opened": "opened",
    "probe_asked": "asked for a probe of",
    "hold_ended": "ended the hold of",
    "password_set": "set the password of",
    "commented": "commented on",
    "bypassed": "bypassed",
}
BREAKERS = {"breaker.opened": "opened the breaker of", "breaker.closed": "closed the breaker of"}
SYSTEM, USER, KEY = "system:", "user:", "key:"


@dataclass(frozen=True, slots=True)
class Change:
    """`who` did `what` to `to`; `url_name` and `key` lead there, where there is a page of it."""

    at: datetime
    who: str
    what: str
    to: str
    tenant: str
    url_name: str
    key: str


@dataclass(frozen=True, slots=True)
class Names:
    endpoints: Mapping[int, str]
    subscriptions: Mapping[int, str]


def recent(chains: frozenset[str] | None) -> list[Change]:
    """The newest first; three queries at most. Index: (chain, -at) for one chain, else the primary key from its end."""
    if chains is not None and not chains:
        return []
    rows = AuditEntry.objects.exclude(action__in=UNTOLD).exclude(actor__startswith=SYSTEM)
    if chains is not None and len(chains) == 1:
        rows = rows.filter(chain__in=chains).order_by("-at")
    else:
        newest = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        rows = rows.filter(pk__gt=newest - LOOKED_AT).order_by("-pk")
        rows = rows if chains is None else rows.filter(chain__in=chains)
    entries = list(rows.defer("previous", "digest")[:SHOWN_MOST])
    return told(entries, _names(entries))


def told(entries: Sequence[AuditEntry], names: Names) -> list[Change]:
    """Pure."""
    return [_told(entry, names) for entry in entries]


def _told(entry: AuditEntry, names: Names) -> Change:
    noun, _, key = entry.target.partition(":")
    _, _, verb = entry.action.partition(".")
    what = BREAKERS.get(entry.action) or VERBS.get(verb) or verb.replace("_", " ")
    tenant = "" if entry.chain == PLATFORM_CHAIN else entry.chain
    return Change(entry.at, who(entry.actor), what, _label(noun, key, names, entry), tenant, *_place(noun, key))


def who(actor: str) -> str:
    """user:ops → ops; key:… says that it is one."""
    if actor.startswith(USER):
        return actor.removeprefix(USER)
    return f"key {actor.removeprefix(KEY)}" if actor.startswith(KEY) else actor


def _label(noun: str, key: str, names: Names, entry: AuditEntry) -> str:
    words = noun.replace("_", " ")
    if noun == "endpoint" and key.isdecimal() and int(key) in names.endpoints:
        return f"{words} {names.endpoints[int(key)]}"
    if noun == "subscription" and key.isdecimal() and int(key) in names.subscriptions:
        return f"{words} {names.subscriptions[int(key)]}"
    for field in ("slug", "name", "title"):
        if isinstance(value := entry.details.get(field), str) and value:
            return f"{words} {value}"
    return f"{words} {key[-8:] if len(key) == 36 else key}".strip()


def _place(noun: str, key: str) -> tuple[str, str]:
    pages = {
        "endpoint": "subscriber",
        "delivery": "delivery",
        "replay": "replay-job",
        "approval": "approval",
        "work_order": "work-order",
    }
    return pages.get(noun, ""), key


def _names(entries: Iterable[AuditEntry]) -> Names:
    """Deleted ones, too: they are what was changed."""
    wanted: dict[str, set[int]] = {"endpoint": set(), "subscription": set()}
    for entry in entries:
        noun, _, key = entry.target.partition(":")
        if noun in wanted and key.isdecimal() and len(key) < 19:
            wanted[noun].add(int(key))
    endpoints = Endpoint.everything.filter(pk__in=wanted["endpoint"]).values_list("pk", "slug")
    subscriptions = Subscription.everything.filter(pk__in=wanted["subscription"]).values_list("pk", "slug")
    return Names(dict(endpoints), dict(subscriptions))
