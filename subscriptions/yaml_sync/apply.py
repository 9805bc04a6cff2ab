"""Bringing the tables up to the file, in one transaction. A dry run is the same work rolled back: plan and deed cannot differ."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection, transaction

from audit.trail import Actor, record
from subscriptions.channels.registry import is_signed
from subscriptions.models import Endpoint, EndpointState, Subscription, Tenant
from subscriptions.services import add_secret, disable, resume, seal_credentials, seal_headers
from subscriptions.yaml_sync.differences import (
    MANAGED_BY,
    Row,
    adopted,
    endpoint_differences,
    moved,
    plain_differences,
    policy_differences,
)
from subscriptions.yaml_sync.endpoint import EndpointSettings
from subscriptions.yaml_sync.plan import Change, Plan
from subscriptions.yaml_sync.spec import EndpointSpec, FileSpec, SubscriptionSpec, TenantSpec

REMOVED_REASON = "Removed from the subscriptions file."


def sync(spec: FileSpec, actor: Actor, *, dry_run: bool = False) -> Plan:
    """What the file owned and no longer names is switched off, not deleted: pages of old deliveries still name it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('subscriptions.sync'))")
        plan = _Sync(actor).run(spec)
        transaction.set_rollback(dry_run)
    return plan


class _Sync:
    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.plan = Plan()
        self.kept_endpoints: set[int] = set()
        self.kept_subscriptions: set[int] = set()

    def run(self, spec: FileSpec) -> Plan:
        for tenant_spec in spec.tenants:
            tenant = self._tenant(tenant_spec)
            for endpoint_spec in tenant_spec.endpoints:
                endpoint = self._endpoint(tenant, endpoint_spec)
                for item in endpoint_spec.subscriptions:
                    self._subscription(tenant, endpoint, item)
        self._remove_subscriptions()
        self._remove_endpoints()
        return self.plan

    def _tenant(self, spec: TenantSpec) -> Tenant:
        found = Tenant.objects.select_for_update().filter(slug=spec.slug).first()
        tenant = found or Tenant(slug=spec.slug)
        values = {"name": spec.name, "rate_limit": spec.rate_limit}
        changed = plain_differences(tenant, values)
        _set(tenant, values)
        if changed or found is None:
            tenant.save()
        if found is None:
            self._note(tenant, "+", "tenant", tenant.pk, spec.slug, values)
        else:
            self._note_changed(tenant, "tenant", tenant.pk, spec.slug, changed)
        return tenant

    def _endpoint(self, tenant: Tenant, spec: EndpointSpec) -> Endpoint:
        found = Endpoint.objects.select_related("tenant").filter(tenant=tenant, slug=spec.slug).first()
        endpoint = found or Endpoint(tenant=tenant, slug=spec.slug)
        shown = {"name": spec.name} | _shown_values(spec.way)
        changed = endpoint_differences(endpoint, shown, spec.way)
        _set(endpoint, shown | {"managed_by": MANAGED_BY})
        if changed or found is None:
            _set(endpoint, _sealed_values(spec.way))
            endpoint.save()
        where, way = f"{tenant.slug}/{spec.slug}", spec.way.destination
        if found is None:
            details = {"channel": spec.way.channel, "destination": way}
            self._note(tenant, "+", "endpoint", endpoint.pk, where, details, way)
        else:
            self._note_changed(tenant, "endpoint", endpoint.pk, where, changed)
        self._back_to_work(endpoint)
        if is_signed(endpoint) and not endpoint.secrets.exists():
            add_secret(endpoint, self.actor)
        self.kept_endpoints.add(endpoint.pk)
        return endpoint

    def _back_to_work(self, endpoint: Endpoint) -> None:
        """Only from our own removal: a pause or a 410 is not the file's to undo."""
        if endpoint.state == EndpointState.DISABLED and endpoint.state_reason == REMOVED_REASON:
            resume(endpoint, self.actor)

    def _subscription(self, tenant: Tenant, endpoint: Endpoint, spec: SubscriptionSpec) -> None:
        found = Subscription.objects.select_related("endpoint").filter(tenant=tenant, slug=spec.slug).first()
        row = found or Subscription(tenant=tenant, slug=spec.slug, endpoint=endpoint)
        values = {
            "types": list(spec.types),
            "tags": list(spec.tags),
            "filters": spec.filters,
            "ordering": spec.ordering,
            "active": spec.active,
        }
        changed = plain_differences(row, values) + policy_differences(row, spec.retry_policy)
        changed += moved(row.endpoint, endpoint) + adopted(row.managed_by)
        values["retry_policy"] = spec.retry_policy
        _set(row, values | {"endpoint": endpoint, "managed_by": MANAGED_BY})
        if changed or found is None:
            row.save()
        self.kept_subscriptions.add(row.pk)
        where, text = f"{tenant.slug}/{spec.slug}", f"{', '.join(spec.types)} → {endpoint.slug}"
        if found is None:
            self._note(tenant, "+", "subscription", row.pk, where, values | {"endpoint": endpoint.slug}, text)
        else:
            self._note_changed(tenant, "subscription", row.pk, where, changed)

    def _remove_subscriptions(self) -> None:
        owned = Subscription.objects.filter(managed_by=MANAGED_BY, active=True).exclude(pk__in=self.kept_subscriptions)
        for row in owned.select_related("tenant"):
            Subscription.objects.filter(pk=row.pk).update(active=False)
            where = f"{row.tenant.slug}/{row.slug}"
            self._note(row.tenant, "-", "subscription", row.pk, where, {"active": False}, "switched off")

    def _remove_endpoints(self) -> None:
        owned = Endpoint.objects.filter(managed_by=MANAGED_BY).exclude(pk__in=self.kept_endpoints)
        for row in owned.exclude(state=EndpointState.DISABLED).select_related("tenant"):
            disable(row, self.actor, REMOVED_REASON)
            self.plan.note(Change("-", "endpoint", str(row), "disabled"))

    def _note_changed(self, tenant: Tenant, kind: str, pk: int, where: str, changed: list[str]) -> None:
        if changed:
            self._note(tenant, "~", kind, pk, where, {"changed": changed}, "; ".join(changed))
        else:
            self.plan.note(None)

    def _note(
        self, tenant: Tenant, sign: str, kind: str, pk: int, where: str, details: Mapping[str, object], text: str = ""
    ) -> None:
        self.plan.note(Change(sign, kind, where, text))
        action = {"+": "created", "~": "changed", "-": "deactivated"}[sign]
        record(tenant.slug, self.actor, f"{kind}.{action}", f"{kind}:{pk}", dict(details))


def _shown_values(way: EndpointSettings) -> dict[str, object]:
    """Those whose old and new value a plan may show."""
    return {
        "channel": way.channel,
        "template": way.template,
        "content_mode": way.content_mode,
        "timeout_s": way.timeout_s,
        "lane": way.lane,
        "rate_limit": way.rate_limit,
        "max_in_flight": way.max_in_flight,
    }


def _sealed_values(way: EndpointSettings) -> dict[str, object]:
    return {
        "url": way.url,
        "config": dict(way.settings.config),
        "template_params": dict(way.params.config),
        "sealed_headers": seal_headers(way.headers),
        "sealed_credentials": seal_credentials(way.credentials),
    }


def _set(row: Row, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
