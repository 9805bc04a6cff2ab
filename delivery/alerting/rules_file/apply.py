"""Bringing the rules up to the file, in one transaction. A dry run is the same work rolled back: plan and deed cannot differ.

The file owns the rows that are `managed`. What a person changes about one of them is theirs from then on
(delivery.alerting.rule_admin), so that a row is either as the file made it or not the file's. Muting is nobody's but the
people's: the file neither sets nor ends it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

from audit.trail import Actor
from delivery.alerting import rule_rows
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.rule_rows import rule_of, scope_text
from delivery.alerting.rule_values import Values, fields_of, written
from delivery.alerting.rules_file.document import FileSpec, RuleSpec
from delivery.models import AlertRule
from subscriptions.models import Endpoint, Tenant
from subscriptions.yaml_sync.plan import ADD, CHANGE, REMOVE, Change, Conflict, FieldChange, Plan, SyncRefusedError
from subscriptions.yaml_sync.problems import Problem, SpecError

ADOPT = "--adopt"
NOUN = "rule"
NOW_OWNED = FieldChange("owner", note="now the file")


def sync(spec: FileSpec, actor: Actor, *, dry_run: bool = False, adopt: bool = False) -> Plan:
    """What the file owned and no longer names is removed: the next wider rule holds in its place.

    Raises SpecError for a tenant or an endpoint that is not there, and SyncRefusedError, with nothing changed, when a rule of
    the same scope was made or changed by hand; a dry run returns the plan with those.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('alerting.rules.sync'))")
        plan = _Sync(actor, _Scopes.of(spec), adopt=adopt).run(spec)
        if plan.conflicts and not dry_run:
            raise SyncRefusedError(plan)
        transaction.set_rollback(dry_run)
    return plan


@dataclass(frozen=True, slots=True)
class _Scopes:
    """What the slugs of the file stand for."""

    tenants: dict[str, Tenant]
    endpoints: dict[tuple[str, str], Endpoint]

    @classmethod
    def of(cls, spec: FileSpec) -> _Scopes:
        """Raises SpecError."""
        slugs = {rule.tenant for rule in spec.rules if rule.tenant}
        tenants = {tenant.slug: tenant for tenant in Tenant.objects.filter(slug__in=slugs)}
        rows = Endpoint.objects.filter(tenant__slug__in=slugs, slug__in={rule.endpoint for rule in spec.rules})
        endpoints = {(row.tenant.slug, row.slug): row for row in rows.select_related("tenant")}
        problems = [
            Problem(f"{rule.path}.tenant", f"names no tenant {rule.tenant!r}")
            for rule in spec.rules
            if rule.tenant and rule.tenant not in tenants
        ]
        problems += [
            Problem(f"{rule.path}.endpoint", f"names no endpoint {rule.endpoint!r} of the tenant {rule.tenant}")
            for rule in spec.rules
            if rule.endpoint and rule.tenant in tenants and (rule.tenant, rule.endpoint) not in endpoints
        ]
        if problems:
            raise SpecError(spec.document.located(problems))
        return cls(tenants, endpoints)


class _Sync:
    def __init__(self, actor: Actor, scopes: _Scopes, *, adopt: bool) -> None:
        self.actor, self.scopes, self.adopt = actor, scopes, adopt
        self.plan = Plan()
        self.kept: set[int] = set()

    def run(self, spec: FileSpec) -> Plan:
        for rule in spec.rules:
            self._rule(rule)
        gone = (
            AlertRule.objects.filter(managed=True)
            .exclude(pk__in=self.kept)
            .select_related("tenant", "endpoint__tenant")
        )
        for row in gone:
            text = "the next wider rule holds"
            self.plan.changes.append(Change(REMOVE, NOUN, _where(row), text))
            rule_rows.remove(row, self.actor)
        return self.plan

    def _rule(self, spec: RuleSpec) -> None:
        tenant, endpoint = self.scopes.tenants.get(spec.tenant), self.scopes.endpoints.get((spec.tenant, spec.endpoint))
        rows = AlertRule.objects.select_for_update(of=("self",)).select_related("tenant", "endpoint__tenant")
        row = rows.filter(kind=spec.kind, tenant=tenant, endpoint=endpoint).first()
        if row is None:
            self._add(AlertRule(kind=spec.kind, tenant=tenant, endpoint=endpoint, managed=True), spec)
        else:
            self._change(row, spec)

    def _add(self, row: AlertRule, spec: RuleSpec) -> None:
        told = written(spec.kind, spec.values)
        fields = tuple(FieldChange(name, None, value) for name, value in told.items())
        self.plan.changes.append(Change(ADD, NOUN, _where(row), fields=fields))
        self._save(row, spec.values)
        rule_rows.record_change(row, self.actor, "created", told)

    def _change(self, row: AlertRule, spec: RuleSpec) -> None:
        changes = differences(row, spec.values)
        self.kept.add(row.pk)
        if not row.managed:
            if not self.adopt:
                self.plan.conflicts.append(Conflict(NOUN, _where(row), "was made or changed by hand", ADOPT))
            changes.append(NOW_OWNED)
        if not changes:
            self.plan.unchanged += 1
            return
        self.plan.changes.append(Change(CHANGE, NOUN, _where(row), fields=tuple(changes)))
        row.managed = True
        self._save(row, spec.values)
        told: dict[str, object] = {each.name: each.note or [each.before, each.after] for each in changes}
        rule_rows.record_change(row, self.actor, "changed", told)

    def _save(self, row: AlertRule, values: Values) -> None:
        for name, value in values.columns().items():
            setattr(row, name, value)
        row.save()
        self.kept.add(row.pk)


def differences(row: AlertRule, values: Values) -> list[FieldChange]:
    """In the words of the file."""
    kind = RuleKind(row.kind)
    before, after = written(kind, Values.of(rule_of(row))), written(kind, values)
    return [
        FieldChange(name, before[name], after[name]) for name in fields_of(KINDS[kind]) if before[name] != after[name]
    ]


def _where(row: AlertRule) -> str:
    return f"{row.kind} {scope_text(row)}"
