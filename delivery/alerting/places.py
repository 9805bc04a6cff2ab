"""Names of the endpoints and tenants that a pass speaks of, and whether they are at work at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from delivery.alerting.findings import Subject
from subscriptions.models import Endpoint, EndpointState, Tenant


@dataclass(frozen=True, slots=True)
class Places:
    """Those that are at work: number → name."""

    tenants: dict[int, str]
    endpoints: dict[int, str]

    @classmethod
    def of(cls, subjects: Iterable[Subject]) -> Places:
        """Two statements at most. Index: primary keys."""
        told = list(subjects)
        tenant_ids = {subject.tenant_id for subject in told if subject.tenant_id is not None}
        endpoint_ids = {subject.endpoint_id for subject in told if subject.endpoint_id is not None}
        tenants = Tenant.objects.filter(pk__in=tenant_ids, active=True).values_list("pk", "slug")
        working = Endpoint.objects.filter(pk__in=endpoint_ids).exclude(state=EndpointState.DISABLED)
        endpoints = working.values_list("pk", "tenant__slug", "slug")
        return cls(
            dict(tenants) if tenant_ids else {},
            {pk: f"{tenant}/{slug}" for pk, tenant, slug in endpoints} if endpoint_ids else {},
        )

    def is_there(self, subject: Subject) -> bool:
        """A platform's subject always is."""
        if subject.tenant_id is not None and subject.tenant_id not in self.tenants:
            return False
        return subject.endpoint_id is None or subject.endpoint_id in self.endpoints

    def name(self, subject: Subject) -> str:
        if subject.endpoint_id is not None:
            return self.endpoints[subject.endpoint_id]
        return subject.name or self.tenants.get(subject.tenant_id or 0, "")
