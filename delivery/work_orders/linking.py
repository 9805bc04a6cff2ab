"""What work orders are linked to, and who may be given one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db.models import Model

from delivery.models import Alert, Approval, Delivery, LinkKind, ReplayJob, WorkOrder, WorkOrderLink
from eventcenter.access.principal import of_user
from eventcenter.access.roles import Permission
from subscriptions.models import Tenant

MODELS: dict[LinkKind, type[Model]] = {
    LinkKind.DELIVERY: Delivery,
    LinkKind.REPLAY: ReplayJob,
    LinkKind.APPROVAL: Approval,
    LinkKind.ALERT: Alert,
}


@dataclass(frozen=True, slots=True)
class Linked:
    """A link with what it leads to: in words, with its state; "" where it is gone."""

    kind: LinkKind
    target_id: UUID
    words: str
    state: str


def owner_of(kind: LinkKind, key: UUID) -> int | None:
    """The tenant's id. None: there is no such row, or it is nobody's."""
    found: int | None = MODELS[kind]._default_manager.filter(pk=key).values_list("tenant_id", flat=True).first()
    return found


def tenant_of(slug: str) -> int | None:
    if not slug.isprintable():
        return None
    return Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()


def assignee(username: str, tenant_id: int) -> User | None:
    """An active user who may work in that tenant."""
    if not username.isprintable():  # PostgreSQL takes no NUL
        return None
    user: User | None = get_user_model().objects.filter(username=username, is_active=True).first()
    return user if user and of_user(user).may(Permission.OPERATE, tenant_id) else None


def orders_of(kind: LinkKind, key: UUID) -> list[WorkOrder]:
    """Those linked to it, newest first. Index: work_order_link_target."""
    rows = WorkOrder.objects.filter(links__kind=kind, links__target_id=key)
    return list(rows.order_by("-id"))


def describe(links: Iterable[WorkOrderLink]) -> list[Linked]:
    """One query for each kind there is."""
    return tell([(LinkKind(link.kind), link.target_id) for link in links])


def tell(links: Sequence[tuple[LinkKind, UUID]]) -> list[Linked]:
    """In their order; one query for each kind there is."""
    found: dict[tuple[LinkKind, UUID], tuple[str, str]] = {}
    for kind in LinkKind:
        keys = [key for of, key in links if of is kind]
        if keys:
            found |= {(kind, key): told for key, told in _told(kind, keys).items()}
    return [Linked(kind, key, *found.get((kind, key), ("", ""))) for kind, key in links]


def _told(kind: LinkKind, keys: list[UUID]) -> dict[UUID, tuple[str, str]]:
    if kind is LinkKind.DELIVERY:
        rows = Delivery.objects.for_console().filter(pk__in=keys, pk__range=(min(keys), max(keys)))
        return {
            row.pk: (f"{row.event.subject or row.event.type} → {row.endpoint.slug}", row.get_status_display())
            for row in rows
        }
    if kind is LinkKind.REPLAY:
        jobs = ReplayJob.objects.filter(pk__in=keys)
        return {job.pk: (f"{job.total:,} deliveries", job.get_state_display()) for job in jobs}
    if kind is LinkKind.APPROVAL:
        approvals = Approval.objects.filter(pk__in=keys)
        return {row.pk: (row.get_kind_display(), row.get_state_display()) for row in approvals}
    alerts = Alert.objects.filter(pk__in=keys)
    return {row.pk: (row.summary, "Resolved" if row.resolved_at else "Open") for row in alerts}
