"""Deaths that called a person, and the second person's yes or no to what is to be done about them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from eventcenter.ids import new_id


class EscalationCause(models.TextChoices):
    """How a person was called when the delivery died."""

    PAGED = "paged", "Paged"  # the news of its death goes to PagerDuty
    ALERT = "alert", "Open alert"  # its endpoint was failing, or disabled by the system, and people were told
    RULE = "rule", "Paging rule"  # another rule called somebody


class Escalation(models.Model):
    """A delivery's death that called a person. It counts for that round alone: a replay begins a new one (`replays`).

    `noticed_at`: when the sweep wrote it to the trail and looked whether a work order is to be opened.
    """

    delivery_id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="+")
    endpoint_id = models.BigIntegerField()
    replays = models.SmallIntegerField()
    cause = models.TextField(choices=EscalationCause.choices)
    at = models.DateTimeField()
    noticed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(cause__in=EscalationCause.values), name="escalation_cause_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["endpoint_id"], condition=models.Q(noticed_at=None), name="escalation_unnoticed"),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.cause}"


class ApprovalKind(models.TextChoices):
    """What is to be done: one service's call."""

    DELIVERY_REPLAY = "delivery.replay", "Replay a delivery"
    DELIVERY_PASS_OVER = "delivery.pass_over", "Pass over a delivery"
    REPLAY_START = "replay.start", "Start a replay"
    ENDPOINT_RESUME = "endpoint.resume", "Enable an endpoint again"


class ApprovalState(models.TextChoices):
    REQUESTED = "requested", "Waiting"  # until expires_at
    APPROVED = "approved", "Approved"  # and carried out, in one transaction
    FAILED = "failed", "Not possible"  # approved, but it could not be done any more: `outcome` says why
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    WITHDRAWN = "withdrawn", "Withdrawn"  # by who asked

    @property
    def tone(self) -> str:
        """The colour role of the console's dot."""
        return _TONES[self]


_TONES = {
    ApprovalState.REQUESTED: "info",
    ApprovalState.APPROVED: "good",
    ApprovalState.FAILED: "bad",
    ApprovalState.REJECTED: "warn",
    ApprovalState.EXPIRED: "mute",
    ApprovalState.WITHDRAWN: "mute",
}


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def seen_by(self, tenant_ids: frozenset[int] | None) -> ApprovalQuerySet:
        """None: all, also what goes across tenants."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)

    def waiting(self, now: datetime) -> ApprovalQuerySet:
        return self.filter(state=ApprovalState.REQUESTED, expires_at__gt=now)

    def overdue(self, now: datetime) -> ApprovalQuerySet:
        return self.filter(state=ApprovalState.REQUESTED, expires_at__lte=now)


class Approval(models.Model):
    """A request that a second person decides. `arguments` is what will run, as it was when it was asked for.

    `target` is noun:id, as in the trail. `requested_by_user` is the person who asked, also through a key of theirs; None:
    nobody is known. Without a tenant it goes across tenants.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, null=True, blank=True, related_name="approvals")
    kind = models.TextField(choices=ApprovalKind.choices)
    target = models.TextField()
    arguments = models.JSONField(default=dict)
    summary = models.TextField(help_text="What will be done, and why it needs a second person.")
    state = models.TextField(choices=ApprovalState.choices, default=ApprovalState.REQUESTED)
    reason = models.TextField(help_text="Of who asked.")
    requested_by = models.TextField()
    requested_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    requested_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    decided_by = models.TextField(default="", blank=True)
    decided_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(default="", blank=True)
    outcome = models.TextField(default="", blank=True, help_text="What came of it.")

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=ApprovalKind.values), name="approval_kind_known"),
            models.CheckConstraint(condition=models.Q(state__in=ApprovalState.values), name="approval_state_known"),
            models.UniqueConstraint(
                fields=["kind", "target"], condition=models.Q(state="requested"), name="approval_asked_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-id"], name="approval_tenant"),
            models.Index(fields=["target"], name="approval_target"),
            models.Index(fields=["expires_at"], condition=models.Q(state="requested"), name="approval_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target} {self.state}"

    @property
    def status(self) -> ApprovalState:
        return ApprovalState(self.state)

    @property
    def target_id(self) -> str:
        return self.target.partition(":")[2]
