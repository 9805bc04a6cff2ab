"""Deliveries, their attempts, the dispatches that workers claim, and the minute counters that pages and alerts read."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from delivery.states import OPEN_STATUSES, DeliveryStatus, sources_of
from eventcenter.ids import id_time


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def dead(self) -> DeliveryQuerySet:
        """By the partial index on dead_at: the status itself is in no index (it would end HOT updates)."""
        return self.filter(dead_at__isnull=False)

    def open(self) -> DeliveryQuerySet:
        return self.filter(status__in=OPEN_STATUSES)

    def due(self, now: datetime) -> DeliveryQuerySet:
        return self.filter(due_at__lte=now)

    def for_console(self) -> DeliveryQuerySet:
        """Newest first, with what a list row shows."""
        return self.select_related("event", "subscription", "endpoint", "tenant").defer("event__body").order_by("-id")


class Delivery(models.Model):
    """One event to one subscription. Its id is derived from both; it is also the `webhook-id` that receivers see.

    Partitioned by day on the id. An open delivery is either in a dispatch (due_at empty) or waits for the sweep (due_at
    set); `next_attempt_at` is for people. `attempts` numbers the attempts for ever, `tries` counts those of this round: a
    replay begins a new round.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(
        "subscriptions.Tenant", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    event = models.ForeignKey(
        "eventcenter.Event", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    endpoint = models.ForeignKey(
        "subscriptions.Endpoint", models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    status = models.TextField(choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.SmallIntegerField(default=0)
    tries = models.SmallIntegerField(default=0)
    replays = models.SmallIntegerField(default=0)
    round_at = models.DateTimeField(help_text="Start of this round: the plan, or the last replay.")
    next_attempt_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    held_reason = models.TextField(default="")
    finished_at = models.DateTimeField(null=True)
    dead_at = models.DateTimeField(null=True)
    dead_reason = models.TextField(default="")
    last_status_code = models.SmallIntegerField(null=True)
    last_error_kind = models.TextField(default="")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(status__in=DeliveryStatus.values), name="delivery_status_known"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    @property
    def state(self) -> DeliveryStatus:
        return DeliveryStatus(self.status)

    @property
    def planned_at(self) -> datetime:
        """When the event was accepted: the id carries it."""
        return id_time(self.id)

    def move(self, to: DeliveryStatus, **changes: object) -> bool:
        """A conditional UPDATE along the table of legal moves. False: somebody else moved it first, or it is not legal."""
        moved = Delivery.objects.filter(pk=self.pk, status__in=sources_of(to)).update(status=to, **changes)
        return bool(moved)


class Attempt(models.Model):
    """One try of one delivery. Partitioned with its delivery's day."""

    pk = models.CompositePrimaryKey("delivery_id", "number")
    delivery = models.ForeignKey(
        Delivery, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="attempt_rows"
    )
    number = models.SmallIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.FloatField()
    outcome = models.TextField()
    status_code = models.SmallIntegerField(null=True)
    error_kind = models.TextField(default="")
    error = models.TextField(default="")
    response_headers = models.JSONField(default=list)
    response_body = models.BinaryField(default=b"")
    remote_address = models.TextField(default="")
    worker = models.TextField(default="")
    replay = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return f"{self.delivery_id}#{self.number} {self.outcome}"


class DispatchLane(models.TextChoices):
    """The Celery queue that carries a dispatch's hint: deliveries.<lane>."""

    FAST = "fast", "Fast"
    SLOW = "slow", "Slow"
    RETRY = "retry", "Retry"


class Dispatch(models.Model):
    """One outstanding batch of deliveries. A hint names (id, token); whoever moves the token on holds the batch.

    `lease_until` in the past means: the hint or its worker was lost; the sweep takes a new token and publishes again.
    """

    lane = models.TextField(choices=DispatchLane.choices, default=DispatchLane.FAST)
    token = models.IntegerField(default=0)
    delivery_ids = ArrayField(models.UUIDField())
    not_before = models.DateTimeField(null=True)
    claimed_by = models.TextField(default="")
    lease_until = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "dispatches"

    def __str__(self) -> str:
        return f"dispatch {self.pk} token {self.token}"


class DeliveryCounter(models.Model):
    """What one worker process did for one endpoint in one minute; sums over `shard` are what pages and alerts read.

    Latency is from the event's acceptance to the 2xx answer of a first-round delivery, in buckets that do not
    overlap (each delivery is in exactly one; the bounds are in delivery.counters).
    """

    pk = models.CompositePrimaryKey("minute", "endpoint_id", "shard")
    minute = models.DateTimeField()
    endpoint_id = models.BigIntegerField()
    shard = models.SmallIntegerField()
    tenant_id = models.BigIntegerField()
    attempts = models.BigIntegerField(default=0)
    first_attempts = models.BigIntegerField(default=0)
    first_delivered = models.BigIntegerField(default=0)
    delivered = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    retried = models.BigIntegerField(default=0)
    dead = models.BigIntegerField(default=0)
    deferred = models.BigIntegerField(default=0)
    latency_buckets = ArrayField(models.BigIntegerField(), default=list)
    latency_ms_sum = models.FloatField(default=0)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} endpoint {self.endpoint_id}"
