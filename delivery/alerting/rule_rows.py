"""The stored rules: read for the pass, changed by people and the file, each change with its audit entry."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from audit.details import recordable
from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerting.kinds import RuleKind
from delivery.alerting.rules import Rule, Rules, place_of
from delivery.models import AlertRule

MUTE_MOST = timedelta(days=90)
REASON_CHARS = 500
NOUN = "alert_rule"


def load(kind: str | None = None) -> Rules:
    """Index: alert_rule_once_a_scope for one kind; a scan for all, of as many rows as people have written."""
    rows = AlertRule.objects.all() if kind is None else AlertRule.objects.filter(kind=kind)
    return Rules({place_of(row.kind, row.tenant_id, row.endpoint_id): rule_of(row) for row in rows.order_by()})


def rule_of(row: AlertRule) -> Rule:
    return Rule(
        kind=RuleKind(row.kind),
        threshold=row.threshold,
        clear_below=row.clear_below,
        window_s=row.window_s,
        minimum_count=row.minimum_count,
        for_s=row.for_s,
        clear_for_s=row.clear_for_s,
        severity=row.severity,
        enabled=row.enabled,
        muted_until=row.muted_until,
        stored=True,
    )


def mute(rule: AlertRule, until: datetime, reason: str, actor: Actor) -> None:
    """Until then nobody is called; what fires is shown. Who was called already is still told when it is over."""
    with transaction.atomic():
        AlertRule.objects.filter(pk=rule.pk).update(muted_until=until, mute_reason=reason)
        _record(rule, actor, "muted", {"until": until.isoformat(), "reason": reason})


def unmute(rule: AlertRule, actor: Actor) -> bool:
    """What fires calls with the next pass. False when it was not muted."""
    with transaction.atomic():
        muted = AlertRule.objects.filter(pk=rule.pk, muted_until__isnull=False)
        if not muted.update(muted_until=None, mute_reason=""):
            return False
        _record(rule, actor, "unmuted", {})
    return True


def remove(rule: AlertRule, actor: Actor) -> None:
    """The next wider rule holds in its place."""
    with transaction.atomic():
        _record(rule, actor, "removed", {"scope": scope_text(rule), "kind": rule.kind})
        rule.delete()


def record_change(rule: AlertRule, actor: Actor, verb: str, details: dict[str, object]) -> None:
    """`verb`: created, changed. In the transaction of the change."""
    told = {name: recordable(value) for name, value in details.items()}
    _record(rule, actor, verb, {"kind": rule.kind, "scope": scope_text(rule), **told})


def chain_of(rule: AlertRule) -> str:
    return rule.tenant.slug if rule.tenant else PLATFORM_CHAIN


def scope_text(rule: AlertRule) -> str:
    """acme/ci-cd, acme or everywhere."""
    if rule.endpoint is not None:
        return str(rule.endpoint)
    return rule.tenant.slug if rule.tenant else "everywhere"


def _record(rule: AlertRule, actor: Actor, verb: str, details: dict[str, object]) -> None:
    record(chain_of(rule), actor, f"{NOUN}.{verb}", f"{NOUN}:{rule.pk}", details)
