"""Since when an endpoint has missed deliveries, as far as it is known."""

from __future__ import annotations

from datetime import datetime

from audit.models import AuditEntry
from delivery.models import Breaker
from delivery.replays.criteria import CriteriaError, parse
from subscriptions.models import Endpoint


def missed_since(endpoint: Endpoint) -> datetime | None:
    """The first failure since its last success, also of the failing that disabled it; else when it was last disabled.

    None: neither is known.
    """
    failing = Breaker.objects.filter(pk=endpoint.pk).values_list("failing_since", flat=True).first()
    return failing or _before_disabled(endpoint)


def _before_disabled(endpoint: Endpoint) -> datetime | None:
    """Index: audit_entry_chain_at. The entry of a disabling for failing says since when (delivery.health.endpoints)."""
    entries = AuditEntry.objects.filter(chain=endpoint.tenant.slug, action="endpoint.disabled")
    entry = entries.filter(target=f"endpoint:{endpoint.pk}").order_by("-at").first()
    if entry is None:
        return None
    try:
        return parse({"since": entry.details.get("failing_since", "")}).since or entry.at
    except CriteriaError:
        return entry.at
