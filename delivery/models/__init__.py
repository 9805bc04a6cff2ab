"""The tables of this app: what is sent and what governs it, approvals, work orders."""

from __future__ import annotations

from delivery.models.approval import (
    Approval,
    ApprovalKind,
    ApprovalQuerySet,
    ApprovalState,
    Escalation,
    EscalationCause,
)
from delivery.models.delivery import (
    Alert,
    AlertSeverity,
    Attempt,
    Breaker,
    BreakerState,
    Delivery,
    DeliveryCounter,
    DeliveryQuerySet,
    Dispatch,
    DispatchLane,
    FeedItem,
    OrderedDelivery,
    ReplayJob,
    ReplayState,
)
from delivery.models.work_order import (
    LinkKind,
    WorkOrder,
    WorkOrderComment,
    WorkOrderLink,
    WorkOrderOrigin,
    WorkOrderOutcome,
    WorkOrderQuerySet,
    WorkOrderState,
)

__all__ = [
    "Alert",
    "AlertSeverity",
    "Approval",
    "ApprovalKind",
    "ApprovalQuerySet",
    "ApprovalState",
    "Attempt",
    "Breaker",
    "BreakerState",
    "Delivery",
    "DeliveryCounter",
    "DeliveryQuerySet",
    "Dispatch",
    "DispatchLane",
    "Escalation",
    "EscalationCause",
    "FeedItem",
    "LinkKind",
    "OrderedDelivery",
    "ReplayJob",
    "ReplayState",
    "WorkOrder",
    "WorkOrderComment",
    "WorkOrderLink",
    "WorkOrderOrigin",
    "WorkOrderOutcome",
    "WorkOrderQuerySet",
    "WorkOrderState",
]
