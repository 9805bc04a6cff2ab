"""Bringing the tables up to the file, in one transaction. A dry run is the same work rolled back: plan and deed cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from django.db import connection, transaction

from audit.trail import Actor, record
from subscriptions.models import Endpoint, EndpointState, Subscription, Tenant
from subscriptions.routing import open_headers
from subscriptions.services import add_secret, disable, resume, seal_headers
from subscriptions.yaml_sync.plan import Change, Plan, difference
from subscriptions.yaml_sync.spec import EndpointSpec, FileSpec, SubscriptionSpec, TenantSpec

MANAGED_BY = "yaml"
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
        tenant = Tenant.objects.select_for_update().filter(slug=spec.slug).first()
        if tenant is None:
            tenant = Tenant.objects.create(slug=spec.slug, name=spec.name)
            self._note(tenant, "+", "tenant", tenant.pk, spec.slug, {"name": spec.name})
        elif tenant.name != spec.name:
            text = f"name: {difference(tenant.name, spec.name)}"
            tenant.name = spec.name
            tenant.save(update_fields=["name"])
            self._note(tenant, "~", "tenant", tenant.pk, spec.slug, {"changed": [text]}, text)
        else:
            self.plan.note(None)
        return tenant

    def _endpoint(self, tenant: Tenant, spec: EndpointSpec) -> Endpoint:
        found = Endpoint.objects.select_related("tenant").filter(tenant=tenant, slug=spec.slug).first()
        endpoint = found or Endpoint(tenant=tenant, slug=spec.slug)
        changed = _endpoint_changes(endpoint, spec)
        _set(endpoint, _endpoint_values(spec) | {"managed_by": MANAGED_BY})
        if changed or found is None:
            endpoint.sealed_headers = seal_headers(spec.headers)
            endpoint.save()
        where = f"{tenant.slug}/{spec.slug}"
        if found is None:
            self._note(tenant, "+", "endpoint", endpoint.pk, where, {"url": spec.written_url}, spec.written_url)
        else:
            self._note_changed(tenant, "endpoint", endpoint.pk, where, changed)
        self._back_to_work(endpoint)
        if not endpoint.secrets.exists():
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
            "active": spec.active,
        }
        changed = _differences(row, values) + _moved(row.endpoint, endpoint) + _adopted(row.managed_by)
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


def _endpoint_values(spec: EndpointSpec) -> dict[str, object]:
    return {"name": spec.name, "content_mode": spec.content_mode, "timeout_s": spec.timeout_s, "url": spec.url}


def _endpoint_changes(endpoint: Endpoint, spec: EndpointSpec) -> list[str]:
    if endpoint._state.adding:
        return []
    shown = {name: value for name, value in _endpoint_values(spec).items() if name != "url"}
    changed = _differences(endpoint, shown)
    if endpoint.url != spec.url:
        changed.append(f"url: {difference(_origin(endpoint.url), spec.written_url)}")
    before, after = dict(open_headers(endpoint)), dict(spec.headers)
    changed += [
        f"header {name}" for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
    ]
    return changed + _adopted(endpoint.managed_by)


def _origin(url: str) -> str:
    """Scheme and host: the rest may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…"


def _differences(row: Endpoint | Subscription, values: Mapping[str, object]) -> list[str]:
    if row._state.adding:
        return []
    changed = ((name, getattr(row, name), value) for name, value in values.items())
    return [f"{name}: {difference(before, after)}" for name, before, after in changed if before != after]


def _moved(before: Endpoint, after: Endpoint) -> list[str]:
    return [] if before.pk == after.pk else [f"endpoint: {difference(before.slug, after.slug)}"]


def _adopted(managed_by: str) -> list[str]:
    return [] if managed_by == MANAGED_BY else ["now owned by the file"]


def _set(row: Endpoint | Subscription, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
