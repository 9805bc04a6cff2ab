"""Bringing the tables up to the file, in one transaction. A dry run is the same work rolled back: plan and deed cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.details import recordable
from audit.trail import Actor, record
from subscriptions.channels.registry import is_signed
from subscriptions.models import AppliedSpec, Endpoint, EndpointState, Subscription, Tenant
from subscriptions.services import add_secret, disable, resume, seal_credentials, seal_headers
from subscriptions.yaml_sync import state
from subscriptions.yaml_sync.applied import Records, applied_of, seals_of, values_of
from subscriptions.yaml_sync.differences import audited, differences, drift, settings_of
from subscriptions.yaml_sync.endpoint import EndpointSettings
from subscriptions.yaml_sync.plan import (
    ADD,
    CHANGE,
    REMOVE,
    Change,
    Conflict,
    DriftedField,
    FieldChange,
    Plan,
    SyncRefusedError,
)
from subscriptions.yaml_sync.spec import EndpointSpec, FileSpec, SubscriptionSpec, TenantSpec

MANAGED_BY = "yaml"
REMOVED_REASON = "Removed from the subscriptions file."
ADOPT, OVERWRITE_DRIFT = "--adopt", "--overwrite-drift"
NOW_OWNED = FieldChange("owner", note="now the file")
TENANT, ENDPOINT, SUBSCRIPTION = AppliedSpec.Kind.TENANT, AppliedSpec.Kind.ENDPOINT, AppliedSpec.Kind.SUBSCRIPTION

Row = Tenant | Endpoint | Subscription
RowT = TypeVar("RowT", Endpoint, Subscription)


@dataclass(frozen=True, slots=True)
class Options:
    """`adopt`: take over what was made by hand. `overwrite_drift`: set back what was changed by hand. `tenant`: only this one."""

    adopt: bool = False
    overwrite_drift: bool = False
    tenant: str = ""


def sync(spec: FileSpec, actor: Actor, *, dry_run: bool = False, options: Options | None = None) -> Plan:
    """What the file owned and no longer names is switched off, not deleted: pages of old deliveries still name it.

    Raises SyncRefusedError, with nothing changed, when the plan has conflicts; a dry run returns it with them.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('subscriptions.sync'))")
        plan = _Sync(actor, options or Options()).run(spec)
        if plan.conflicts and not dry_run:
            raise SyncRefusedError(plan)
        transaction.set_rollback(dry_run)
    return plan


@dataclass(frozen=True, slots=True)
class _Place:
    """One row of the file. `owned`: the file made it or has taken it over."""

    tenant: Tenant
    kind: str
    slug: str
    owned: bool

    @property
    def where(self) -> str:
        return self.slug if self.kind == TENANT else f"{self.tenant.slug}/{self.slug}"


class _Sync:
    def __init__(self, actor: Actor, options: Options) -> None:
        self.actor = actor
        self.options = options
        self.plan = Plan()
        self.records = Records()
        self.kept_endpoints: set[int] = set()
        self.kept_subscriptions: set[int] = set()

    def run(self, spec: FileSpec) -> Plan:
        for tenant_spec in spec.tenants:
            if self.options.tenant in ("", tenant_spec.slug):
                self._tenant_with_all(tenant_spec)
        self._remove_subscriptions()
        self._remove_endpoints()
        self.records.remove_others(self.options.tenant)
        return self.plan

    def _tenant_with_all(self, spec: TenantSpec) -> None:
        tenant = self._tenant(spec)
        for endpoint_spec in spec.endpoints:
            endpoint = self._endpoint(tenant, endpoint_spec)
            for item in endpoint_spec.subscriptions:
                self._subscription(tenant, endpoint, item)

    def _tenant(self, spec: TenantSpec) -> Tenant:
        found = Tenant.objects.select_for_update().filter(slug=spec.slug).first()
        tenant = found or Tenant(slug=spec.slug)
        wanted = state.wanted_tenant(spec)
        owned = found is not None and self.records.get(found, TENANT, spec.slug) is not None
        place = _Place(tenant, TENANT, spec.slug, owned)
        changes = self._compare(place, found, state.tenant_state(tenant) if found else None, wanted)
        if changes or found is None:
            _set(tenant, wanted.plain)
            tenant.save()
        self._note(place, tenant, changes, "" if found else spec.name or spec.slug, wanted)
        if owned or changes or found is None:
            self.records.keep(tenant, TENANT, spec.slug, values_of(wanted, seals_of(tenant)))
        return tenant

    def _endpoint(self, tenant: Tenant, spec: EndpointSpec) -> Endpoint:
        mine = Endpoint.objects.select_for_update(of=("self",)).select_related("tenant")
        found = mine.filter(tenant=tenant, slug=spec.slug).first()
        endpoint = found or Endpoint(tenant=tenant, slug=spec.slug)
        wanted = state.wanted_endpoint(spec)
        place = _Place(tenant, ENDPOINT, spec.slug, endpoint.managed_by == MANAGED_BY)
        changes = self._compare(place, found, state.endpoint_state(endpoint) if found else None, wanted)
        if changes or found is None:
            _set(endpoint, _values(spec.name, spec.way))
            endpoint.save()
        self._note(place, endpoint, changes, "" if found else spec.way.destination, wanted)
        self._back_to_work(endpoint)
        if is_signed(endpoint) and not endpoint.secrets.exists():
            add_secret(endpoint, self.actor)
        self.kept_endpoints.add(endpoint.pk)
        self.records.keep(tenant, ENDPOINT, spec.slug, values_of(wanted, seals_of(endpoint)))
        return endpoint

    def _back_to_work(self, endpoint: Endpoint) -> None:
        """Only from our own removal: a pause or a 410 is not the file's to undo."""
        if endpoint.state == EndpointState.DISABLED and endpoint.state_reason == REMOVED_REASON:
            resume(endpoint, self.actor)

    def _subscription(self, tenant: Tenant, endpoint: Endpoint, spec: SubscriptionSpec) -> None:
        mine = Subscription.objects.select_for_update(of=("self",)).select_related("endpoint")
        found = mine.filter(tenant=tenant, slug=spec.slug).first()
        row = found or Subscription(tenant=tenant, slug=spec.slug, endpoint=endpoint)
        wanted = state.wanted_subscription(spec, endpoint.slug)
        place = _Place(tenant, SUBSCRIPTION, spec.slug, row.managed_by == MANAGED_BY)
        changes = self._compare(place, found, state.subscription_state(row) if found else None, wanted)
        if changes or found is None:
            values = {**wanted.plain, "endpoint": endpoint, "retry_policy": spec.retry_policy}
            _set(row, values | {"managed_by": MANAGED_BY})
            row.save()
        self._note(place, row, changes, "" if found else f"{', '.join(spec.types)} → {endpoint.slug}", wanted)
        self.kept_subscriptions.add(row.pk)
        self.records.keep(tenant, SUBSCRIPTION, spec.slug, values_of(wanted, seals_of(row)))

    def _compare(
        self, place: _Place, row: Row | None, current: state.State | None, wanted: state.State
    ) -> list[FieldChange]:
        """What is to be changed on the row that is there; whether that may be done is noted as a conflict."""
        applied = self.records.get(place.tenant, place.kind, place.slug) if place.tenant.pk else None
        if row is None or current is None:
            if applied is not None:
                self._drifted(place, "is gone: it was deleted or renamed by hand since the last sync")
            return []
        changes = differences(current, wanted)
        if not place.owned and (changes or place.kind != TENANT or self.options.adopt):
            self._unowned(place)
            return [*changes, NOW_OWNED]
        drifted = drift(applied_of(applied, row), current, wanted) if applied is not None else []
        if drifted:
            self._drifted(place, "was changed by hand since the last sync", *drifted)
        return changes

    def _unowned(self, place: _Place) -> None:
        if not self.options.adopt:
            self.plan.conflicts.append(Conflict(place.kind, place.where, "was not made by this file", ADOPT))

    def _drifted(self, place: _Place, problem: str, *fields: DriftedField) -> None:
        if not self.options.overwrite_drift:
            self.plan.conflicts.append(Conflict(place.kind, place.where, problem, OVERWRITE_DRIFT, fields))

    def _remove_subscriptions(self) -> None:
        owned = Subscription.objects.filter(managed_by=MANAGED_BY, active=True).exclude(pk__in=self.kept_subscriptions)
        for row in self._of_tenant(owned).select_related("tenant"):
            place = _Place(row.tenant, SUBSCRIPTION, row.slug, True)
            self._check_removal(place, DriftedField("active", "not named", "false", "true"))
            Subscription.objects.filter(pk=row.pk).update(active=False)
            self._note_removed(place, "switched off; its history stays")
            record(row.tenant.slug, self.actor, "subscription.deactivated", f"subscription:{row.pk}", {"active": False})

    def _remove_endpoints(self) -> None:
        owned = Endpoint.objects.filter(managed_by=MANAGED_BY).exclude(pk__in=self.kept_endpoints)
        for row in self._of_tenant(owned).exclude(state=EndpointState.DISABLED).select_related("tenant"):
            place = _Place(row.tenant, ENDPOINT, row.slug, True)
            self._check_removal(place, DriftedField("state", "not named", EndpointState.DISABLED.value, row.state))
            disable(row, self.actor, REMOVED_REASON)
            self._note_removed(place, "disabled; what still waits for it ends as dead, its history stays")

    def _check_removal(self, place: _Place, drifted: DriftedField) -> None:
        """Somebody has switched on again what an earlier sync had switched off: that is a change by hand."""
        if self.records.is_removed(place.tenant, place.kind, place.slug):
            self._drifted(place, "was switched on by hand after the file stopped naming it", drifted)

    def _of_tenant(self, rows: QuerySet[RowT]) -> QuerySet[RowT]:
        return rows.filter(tenant__slug=self.options.tenant) if self.options.tenant else rows

    def _note(self, place: _Place, row: Row, changes: list[FieldChange], made: str, wanted: state.State) -> None:
        """`made`: what is there now, in words, when the row is new; empty when it was there."""
        if made:
            self.plan.changes.append(Change(ADD, place.kind, place.where, made))
        elif changes:
            self.plan.changes.append(Change(CHANGE, place.kind, place.where, fields=tuple(changes)))
        else:
            self.plan.unchanged += 1
            return
        told = settings_of(wanted) if made else changes
        details: dict[str, object] = {item.name: recordable(audited(item)) for item in told}
        action = f"{place.kind}.{'created' if made else 'changed'}"
        record(place.tenant.slug, self.actor, action, f"{place.kind}:{row.pk}", details)

    def _note_removed(self, place: _Place, text: str) -> None:
        self.plan.changes.append(Change(REMOVE, place.kind, place.where, text))
        self.records.mark_removed(place.tenant, place.kind, place.slug)


def _values(name: str, way: EndpointSettings) -> dict[str, object]:
    return {
        "name": name,
        "managed_by": MANAGED_BY,
        "channel": way.channel,
        "url": way.kept_url,
        "template": way.template,
        "content_mode": way.content_mode,
        "timeout_s": way.timeout_s,
        "lane": way.lane,
        "rate_limit": way.rate_limit,
        "max_in_flight": way.max_in_flight,
        "config": dict(way.settings.config),
        "template_params": dict(way.params.config),
        "sealed_headers": seal_headers(way.headers),
        "sealed_credentials": seal_credentials(way.credentials),
    }


def _set(row: Row, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
