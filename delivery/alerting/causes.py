"""What an alert is counted to: alerts of one cause call a person once. Pure."""

from __future__ import annotations

from typing import Final

from delivery.alerting.kinds import RuleKind
from delivery.models import Alert

PLATFORM = "platform"
# A part of the platform stands still: whoever notices it first, it is the same fault.
PARTS: Final = {
    RuleKind.CONSUMER_LAG: "consumer",
    RuleKind.OUTBOX_STUCK: "relay",
    RuleKind.OLDEST_DUE: "workers",
}
PART_OF_ROLE: Final = {
    "consumer": "consumer",
    "relay": "relay",
    "worker": "workers",
    "retry": "workers",
    "sweep": "workers",
}
# Nothing else follows from these. A key that is due for weeks must not keep the page of a broken endpoint back.
ALONE: Final = frozenset({RuleKind.ROTATION_DUE, RuleKind.PUBLISH_SIGNATURE, RuleKind.AUDIT_BROKEN})


def cause_of(alert: Alert) -> str:
    """endpoint:42, tenant:7, platform:consumer; of a kind that stands alone, its own dedup_key."""
    if alert.kind in ALONE:
        return alert.dedup_key
    if alert.endpoint_id is not None:
        return f"endpoint:{alert.endpoint_id}"
    if alert.tenant_id is not None:
        return f"tenant:{alert.tenant_id}"
    return f"{PLATFORM}:{_part(alert)}"


def _part(alert: Alert) -> str:
    if alert.kind == RuleKind.PROCESS_MISSING:
        role = str(alert.details.get("role") or alert.dedup_key.rpartition(":")[2])
        return PART_OF_ROLE.get(role, role)
    return PARTS.get(RuleKind(alert.kind), alert.kind) if alert.kind in RuleKind.values else alert.kind
