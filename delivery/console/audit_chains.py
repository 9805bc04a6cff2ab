"""Where the audit chains stand: how long each is, up to where it is signed, whether one is known to be broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from django.db.models import QuerySet

from audit.models import AuditEntry, AuditHead
from audit.trail import PLATFORM_CHAIN
from delivery.audit_watch import KIND, dedup_key
from delivery.models import Alert
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.store import rows
from subscriptions.models import Tenant

SHOWN_MOST: Final = 12  # chains; more are reached by the filter
VERIFIED: Final = "audit.verified"

# Indexes: unique (chain, position), backwards; (target, id), backwards. One look for each chain, however long it is.
ENDS: LiteralString = """
SELECT c.name, e.position, e.at, v.at, v.actor, v.details FROM unnest(%s::text[]) AS c (name)
LEFT JOIN LATERAL (
    SELECT position, at FROM audit_auditentry WHERE chain = c.name ORDER BY position DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT at, actor, details FROM audit_auditentry
    WHERE target = 'chain:' || c.name AND chain = c.name AND action = 'audit.verified' ORDER BY id DESC LIMIT 1
) AS v ON true
"""


@dataclass(frozen=True, slots=True)
class ChainState:
    """`verified_*`: the last verification from the console that came to an end."""

    name: str
    entries: int
    last_at: datetime | None
    head: AuditHead | None
    alert: Alert | None
    verified_at: datetime | None = None
    verified_by: str = ""
    was_intact: bool = True

    @property
    def tone(self) -> str:
        if self.alert or not self.was_intact:
            return "bad"
        return "good" if self.head else "mute"

    @property
    def words(self) -> str:
        if self.alert:
            return "Broken"
        if not self.was_intact:
            return "Found broken"
        return "Signed" if self.head else "Not signed yet" if self.entries else "Empty"


def chains_of(principal: Principal) -> list[str]:
    """What the reader may see: its tenants', and the platform's for who sees all. One query."""
    slugs = within(Tenant.objects.order_by("slug"), principal, column="id").values_list("slug", flat=True)
    return [*([PLATFORM_CHAIN] if _sees_all(principal) else []), *slugs]


def visible(principal: Principal, chains: Sequence[str]) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.all()
    if _sees_all(principal):
        return entries
    return entries.filter(chain=chains[0]) if len(chains) == 1 else entries.filter(chain__in=chains)


def states(chains: Sequence[str], most: int = SHOWN_MOST) -> list[ChainState]:
    """Those with an open alert first, then in the given order. Three queries."""
    # Index: alert_open_once_a_key (partial): the open ones.
    alerts = {alert.dedup_key: alert for alert in Alert.objects.filter(resolved_at=None, kind=KIND)}
    shown = sorted(chains, key=lambda chain: dedup_key(chain) not in alerts)[:most]
    heads = AuditHead.objects.in_bulk(shown)
    return [
        ChainState(
            name,
            position or 0,
            at,
            heads.get(name),
            alerts.get(dedup_key(name)),
            verified_at,
            verified_by or "",
            (details or {}).get("result", "intact") == "intact",
        )
        for name, position, at, verified_at, verified_by, details in rows(ENDS, [shown])
    ]


def _sees_all(principal: Principal) -> bool:
    return principal.is_platform and principal.tenant_ids(Permission.VIEW) is None
