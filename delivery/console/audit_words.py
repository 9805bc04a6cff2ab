"""What the audit trail says, in words: actions by what they are about, targets as links, details as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

# Noun → what it is called, and its verbs with the words for them. An action is noun.verb; one that is not here stands for
# itself: a trail outlives the words for it.
NOUNS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "delivery": (
        "Delivery",
        {
            "replayed": "replayed a delivery",
            "cancelled": "cancelled a delivery",
            "passed_over": "passed over a dead delivery",
            "escalated": "escalated deliveries that stayed dead",
        },
    ),
    "rejected_event": ("Rejected message", {"reingested": "took a rejected message in again"}),
    "replay": (
        "Replay",
        {
            "drafted": "drafted a replay",
            "started": "started a replay",
            "paused": "paused a replay",
            "resumed": "resumed a replay",
            "cancelled": "cancelled a replay",
            "finished": "finished a replay",
        },
    ),
    "approval": (
        "Approval",
        {
            "requested": "asked for a second person",
            "approved": "approved",
            "rejected": "rejected",
            "withdrawn": "took a request back",
            "expired": "let a request expire",
            "failed": "could not do what was approved",
            "bypassed": "went without a second person",
        },
    ),
    "work_order": (
        "Work order",
        {
            "opened": "opened a work order",
            "assigned": "assigned a work order",
            "started": "started a work order",
            "stopped": "put a work order back",
            "closed": "closed a work order",
            "reopened": "reopened a work order",
            "commented": "commented on a work order",
            "linked": "linked something to a work order",
        },
    ),
    "alert": (
        "Alert",
        {
            "raised": "raised an alert",
            "resolved": "resolved an alert",
            "severity_changed": "changed the severity of an alert",
            "unmuted": "ended the muting of an alert",
        },
    ),
    "incident": ("Incident", {"acknowledged": "acknowledged an incident"}),
    "alert_rule": (
        "Alert rule",
        {
            "created": "made an alert rule",
            "changed": "changed an alert rule",
            "removed": "removed an alert rule",
        },
    ),
    "contact": (
        "Contact",
        {
            "created": "made a contact",
            "changed": "changed a contact",
            "deleted": "deleted a contact",
            "tested": "tested a contact",
        },
    ),
    "endpoint": (
        "Endpoint",
        {
            "created": "made an endpoint",
            "changed": "changed an endpoint",
            "deleted": "deleted an endpoint",
            "paused": "paused an endpoint",
            "resumed": "resumed an endpoint",
            "disabled": "disabled an endpoint",
            "failing": "found an endpoint failing for days",
            "secret_added": "added a signing secret",
            "secret_rotated": "rotated a signing secret",
            "secret_revoked": "revoked a signing secret",
            "test_sent": "sent a test event",
        },
    ),
    "breaker": (
        "Breaker",
        {
            "opened": "opened a breaker by hand",
            "closed": "closed a breaker by hand",
            "probe_asked": "asked for a probe",
            "hold_ended": "ended what a receiver had asked for",
        },
    ),
    "subscription": (
        "Subscription",
        {
            "created": "made a subscription",
            "changed": "changed a subscription",
            "deleted": "deleted a subscription",
            "paused": "paused a subscription",
            "resumed": "resumed a subscription",
            "deactivated": "deactivated a subscription",
        },
    ),
    "tenant": ("Tenant", {"created": "made a tenant", "changed": "changed a tenant"}),
    "member": ("Role", {"role_granted": "granted a role", "role_revoked": "took a role away"}),
    "user": (
        "User",
        {
            "created": "made an account",
            "changed": "changed an account",
            "linked": "linked an account to single sign-on",
            "password_set": "set a password",
        },
    ),
    "group": ("Group", {"created": "made a group", "changed": "changed a group"}),
    "sign_in": ("Sign-in", {"succeeded": "signed in", "failed": "failed to sign in"}),
    "sign_out": ("Sign-out", {"": "signed out"}),
    "publish_key": (
        "Publish key",
        {
            "created": "made a publish key",
            "changed": "changed a publish key",
            "rotated": "rotated a publish key",
        },
    ),
    "api_key": ("API key", {"created": "made an API key", "revoked": "revoked an API key"}),
    "signing_key": ("Signing key", {"rotation_due": "reminded that a signing key is due"}),
    "adapter": (
        "Adapter",
        {
            "created": "made an adapter",
            "changed": "changed an adapter",
            "paused": "paused an adapter",
            "resumed": "resumed an adapter",
            "secret_rotated": "rotated an adapter's secret",
        },
    ),
    "feature_flag": ("Feature flag", {"created": "made a feature flag", "changed": "changed a feature flag"}),
    "event_type": ("Event type", {"created": "registered an event type", "changed": "changed an event type"}),
    "encryption_key": ("Encryption key", {"rotated": "rotated the encryption key"}),
    "data_key": ("Data key", {"replaced": "replaced a data key"}),
    "audit": ("Audit trail", {"verified": "verified a chain", "exported": "exported the trail"}),
}
# Where a target's page is: URL name and whether its argument is the id. Names that no URL has give no link.
PAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "delivery": ("delivery",),
    "event": ("event",),
    "rejected_event": ("rejected-event",),
    "endpoint": ("subscriber", "admin:subscriptions_endpoint_change"),
    "subscription": ("subscription-edit", "admin:subscriptions_subscription_change"),
    "replay": ("replay-job",),
    "approval": ("approval",),
    "work_order": ("work-order",),
    "alert": ("alert",),
    "tenant": ("admin:subscriptions_tenant_change",),
    "contact": ("admin:delivery_alertcontact_change",),
    "alert_rule": ("admin:delivery_alertrule_change",),
    "adapter": ("admin:eventcenter_adapter_change",),
}
GONE: Final = frozenset({"endpoint.deleted", "subscription.deleted", "contact.deleted", "alert_rule.removed"})
CHANGED_NAMES = "fields"  # in details: what changed, by name
MOVED: Final = frozenset({"from", "to"})  # in details: a state before and after
NOT_KEPT = "changed; its value is not kept"
TEXT_MOST = 2_000  # of one value on a page; the export has all of it


@dataclass(frozen=True, slots=True)
class Detail:
    """One row of the table. `before` is None where there is one value only."""

    name: str
    value: str
    before: str | None = None


def action_words(action: str) -> str:
    noun, _, verb = action.partition(".")
    _, verbs = NOUNS.get(noun, ("", {}))
    return verbs.get(verb) or f"{verb} {noun}".strip().replace("_", " ")


def noun_words(noun: str) -> str:
    return NOUNS[noun][0] if noun in NOUNS else noun.replace("_", " ").capitalize()


def actions_of(noun: str) -> list[str]:
    """Every known action about it."""
    return [f"{noun}.{verb}" if verb else noun for verb in NOUNS[noun][1]]


def target_words(target: str) -> str:
    """endpoint:7 → Endpoint 7."""
    noun, colon, key = target.partition(":")
    return f"{noun_words(noun)} {key}" if colon else noun_words(noun)


def target_url(target: str, action: str = "") -> str:
    """The page of what was acted on; "" when it has none, or is gone by this very action."""
    noun, _, key = target.partition(":")
    if action in GONE or not key:
        return ""
    if noun == "chain":
        return f"{reverse('audit-trail')}?{urlencode({'tenant': key})}"
    return next(filter(None, (_reverse(name, key) for name in PAGES.get(noun, ()))), "")


def details_of(details: Mapping[str, object]) -> list[Detail]:
    """Changes first, old → new, then what else was said, by name."""
    names = details.get(CHANGED_NAMES)
    changed = [str(name) for name in names] if isinstance(names, list) else []
    moved = [Detail("state", _text(details["to"]), _text(details["from"]))] if details.keys() >= MOVED else []
    told = {CHANGED_NAMES, *changed, *(MOVED if moved else ())}
    others = [Detail(_label(name), _text(details[name])) for name in sorted(details.keys() - told)]
    return [*_changes(details, changed), *moved, *others]


def _changes(details: Mapping[str, object], names: list[str]) -> Iterator[Detail]:
    for name in names:
        value = details.get(name)
        if isinstance(value, list) and len(value) == 2:
            yield Detail(_label(name), _text(value[1]), _text(value[0]))
        else:
            yield Detail(_label(name), _text(value) if name in details else NOT_KEPT)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        text = ", ".join(map(str, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= TEXT_MOST else f"{text[:TEXT_MOST]}…"


def _reverse(name: str, key: str) -> str:
    try:
        return reverse(name, args=[key])
    except NoReverseMatch:
        return ""
