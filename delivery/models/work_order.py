"""What a person is to see to, until it is closed with an outcome."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from delivery.models.alerting import AlertSeverity
from eventcenter.ids import new_id


class WorkOrderState(models.TextChoices):
    OPEN = "open", "Open"
    IN_PROGRESS = "in_progress", "In progress"
    CLOSED = "closed", "Closed"  # with an outcome; it may be opened again

    @property
    def tone(self) -> str:
        """The colour role of the console's dot."""
        return {WorkOrderState.OPEN: "warn", WorkOrderState.IN_PROGRESS: "info"}.get(self, "good")


class WorkOrderOrigin(models.TextChoices):
    HAND = "hand", "By hand"
    DELIVERY = "delivery", "From a delivery"
    ALERT = "alert", "From an alert"
    RULE = "rule", "By rule"


class WorkOrderOutcome(models.TextChoices):
    FIXED_BY_THEM = "fixed_by_them", "Fixed by the receiver"
    FIXED_BY_US = "fixed_by_us", "Fixed by us"
    REPLAYED = "replayed", "Replayed"
    NOT_NEEDED = "not_needed", "Nothing was needed"
    DUPLICATE = "duplicate", "Duplicate of another one"


class LinkKind(models.TextChoices):
    """What a work order may be linked to; all have a UUID."""

    DELIVERY = "delivery", "Delivery"
    REPLAY = "replay", "Replay"
    APPROVAL = "approval", "Approval"
    ALERT = "alert", "Alert"


class WorkOrderQuerySet(models.QuerySet["WorkOrder"]):
    def seen_by(self, tenant_ids: frozenset[int] | None) -> WorkOrderQuerySet:
        """None: all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)

    def unfinished(self) -> WorkOrderQuerySet:
        return self.exclude(state=WorkOrderState.CLOSED)


class WorkOrder(models.Model):
    """A tenant's. `cause` is empty by hand; of one cause the rules have one open at a time."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="work_orders")
    title = models.TextField()
    body = models.TextField(default="", blank=True)
    severity = models.TextField(choices=AlertSeverity.choices, default=AlertSeverity.WARNING)
    state = models.TextField(choices=WorkOrderState.choices, default=WorkOrderState.OPEN)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="work_orders"
    )
    opened_by = models.TextField()
    origin = models.TextField(choices=WorkOrderOrigin.choices, default=WorkOrderOrigin.HAND)
    cause = models.TextField(default="", blank=True)
    opened_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(choices=WorkOrderOutcome.choices, default="", blank=True)
    outcome_text = models.TextField(default="", blank=True)

    objects = WorkOrderQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=WorkOrderState.values), name="work_order_state_known"),
            models.CheckConstraint(
                condition=models.Q(state="closed", outcome__in=WorkOrderOutcome.values)
                | ~models.Q(state="closed") & models.Q(outcome=""),
                name="work_order_closed_with_outcome",
            ),
            models.UniqueConstraint(
                fields=["cause"],
                condition=~models.Q(cause="") & ~models.Q(state="closed"),
                name="work_order_open_once_a_cause",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "-id"], name="work_order_tenant")]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def status(self) -> WorkOrderState:
        return WorkOrderState(self.state)


class WorkOrderComment(models.Model):
    """Append-only: the database refuses UPDATE."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="+")
    work_order = models.ForeignKey(WorkOrder, models.CASCADE, related_name="comments")
    author = models.TextField()
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"comment {self.id} of {self.author}"


class WorkOrderLink(models.Model):
    """Without a foreign key: deliveries go with their days, and the work order stays."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="+")
    work_order = models.ForeignKey(WorkOrder, models.CASCADE, related_name="links")
    kind = models.TextField(choices=LinkKind.choices)
    target_id = models.UUIDField()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["work_order", "kind", "target_id"], name="work_order_linked_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["target_id"], name="work_order_link_target")]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_id}"
