"""Deliveries, their attempts, and the dispatches that workers claim."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from delivery.states import OPEN_STATUSES, DeliveryStatus, sources_of
from eventcenter.ids import id_time, new_id


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

    Partitioned by day on the id. An open delivery is in a dispatch (due_at and held_reason empty), or waits for the sweep
    (due_at set), or for its turn behind others of its partition key (held_reason "ordering"). What is held for another
    reason is let go by delivery.release; its due_at is a safety net. `next_attempt_at` is for people. `attempts` numbers
    the attempts for ever, `tries` counts those of this round: a replay begins a new round.
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
    cancelled_at = models.DateTimeField(
        null=True, help_text="By hand, before it ended; empty again once it is replayed."
    )
    earlier_deaths = ArrayField(
        models.DateTimeField(), null=True, help_text="When rounds ended as dead that were replayed since."
    )
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
    latency_ms = models.FloatField(null=True, help_text="From the event's acceptance to the 2xx, in the first round.")
    recorded_at = models.DateTimeField(null=True, db_default=Now(), help_text="The minute in which it is counted.")

    class Meta:
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return f"{self.delivery_id}#{self.number} {self.outcome}"


class DispatchLane(models.TextChoices):
    """The Celery queue that carries a dispatch's hint: deliveries.<lane>."""

    FAST = "fast", "Fast"  # first attempts within their tenant's share
    SLOW = "slow", "Slow"  # first attempts to endpoints known to be slow
    BULK_0 = "bulk0", "Bulk 0"  # first attempts beyond their tenant's share, spread over four by tenant
    BULK_1 = "bulk1", "Bulk 1"
    BULK_2 = "bulk2", "Bulk 2"
    BULK_3 = "bulk3", "Bulk 3"
    RETRY = "retry", "Retry"  # all later attempts, and what was held


class Dispatch(models.Model):
    """One outstanding batch of deliveries. A hint names (id, token); whoever moves the token on holds the batch.

    `lease_until` in the past means: the hint or its worker was lost; the sweep takes a new token and publishes again.
    `endpoint_id` is set where all deliveries are one endpoint's, let go from its held ones: how many of those are on
    their way decides how many more may follow (delivery.release).
    """

    lane = models.TextField(choices=DispatchLane.choices, default=DispatchLane.FAST)
    token = models.IntegerField(default=0)
    delivery_ids = ArrayField(models.UUIDField())
    endpoint_id = models.BigIntegerField(null=True)
    not_before = models.DateTimeField(null=True)
    claimed_by = models.TextField(default="")
    lost_tokens = ArrayField(
        models.IntegerField(), default=list, db_default=[], help_text="Of workers that had claimed it and went silent."
    )
    lost_workers = ArrayField(
        models.TextField(), default=list, db_default=[], help_text="Those workers, in that order."
    )
    lease_until = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "dispatches"

    def __str__(self) -> str:
        return f"dispatch {self.pk} token {self.token}"


class BreakerState(models.TextChoices):
    """Whether an endpoint is called at all."""

    CLOSED = "closed", "Closed"  # called as usual
    OPEN = "open", "Open"  # not called until next_probe_at; by hand without one: until closed by hand
    HALF_OPEN = "half_open", "Half-open"  # one delivery is on its way to find out


class Breaker(models.Model):
    """What is known of an endpoint's health, over all workers. Healthy endpoints have no row, or one that says nothing.

    `hold_until` is the receiver's own wish (Retry-After) and stands beside the breaker's state. The counts are of the
    window that began at `window_at` and of the one before it.
    """

    endpoint_id = models.BigIntegerField(primary_key=True)
    tenant_id = models.BigIntegerField()
    state = models.TextField(choices=BreakerState.choices, default=BreakerState.CLOSED)
    reason = models.TextField(default="", blank=True)
    by_hand = models.BooleanField(default=False)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    next_probe_at = models.DateTimeField(null=True, blank=True)
    probe_delivery_id = models.UUIDField(null=True, blank=True)
    probe_until = models.DateTimeField(null=True, blank=True)
    openings = models.SmallIntegerField(default=0, help_text="In a row, without a success between; waits grow with it.")
    hold_until = models.DateTimeField(null=True, blank=True)
    hold_reason = models.TextField(default="", blank=True)
    consecutive = models.IntegerField(default=0, help_text="Failures since the last success.")
    window_at = models.DateTimeField(null=True, blank=True)
    succeeded = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    succeeded_before = models.IntegerField(default=0)
    failed_before = models.IntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="The first failure since the last success.")
    warned_percent = models.SmallIntegerField(
        default=0, help_text="Of the time to auto-disable; the last warning given."
    )
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=BreakerState.values), name="breaker_state_known"),
        ]

    def __str__(self) -> str:
        return f"breaker of endpoint {self.endpoint_id}: {self.state}"


class OrderedDelivery(models.Model):
    """The queue of an ordered subscription's open deliveries: of each `order_key` the lowest `seq` is the head.

    The key is a digest of (subscription, partition key). A row goes when its delivery ends; a dead one's stays where
    the subscription's ordering is "block".
    """

    seq = models.BigAutoField(primary_key=True)
    order_key = models.UUIDField()
    subscription_id = models.BigIntegerField()
    delivery_id = models.UUIDField(unique=True)

    class Meta:
        verbose_name_plural = "ordered deliveries"
        indexes: ClassVar = [
            models.Index(fields=["order_key", "seq"], name="ordered_delivery_head"),
            models.Index(fields=["subscription_id", "seq"], name="ordered_delivery_of"),
        ]

    def __str__(self) -> str:
        return f"{self.order_key} #{self.seq} {self.delivery_id}"


class ReplayState(models.TextChoices):
    DRAFT = "draft", "Preview"  # counted, not started
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    CANCELLED = "cancelled", "Cancelled"
    DONE = "done", "Done"


class ReplayAction(models.TextChoices):
    """What a job does to each delivery that it takes."""

    REPLAY = "replay", "Replay"  # what has ended begins a new round
    CANCEL = "cancel", "Cancel"  # what is open ends here


class ReplayJob(models.Model):
    """A durable replay, or cancel, of the deliveries that a filter or a selection finds. `cursor` is the last one that was
    looked at."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(
        "subscriptions.Tenant", models.CASCADE, null=True, blank=True, related_name="replay_jobs"
    )
    action = models.TextField(choices=ReplayAction.choices, default=ReplayAction.REPLAY, db_default=ReplayAction.REPLAY)
    criteria = models.JSONField(help_text="delivery.replays.criteria: the filter, as it was given.")
    state = models.TextField(choices=ReplayState.choices, default=ReplayState.DRAFT)
    rate_per_s = models.FloatField()
    total = models.IntegerField(default=0, help_text="What the filter found when it was counted.")
    queued = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0, help_text="Open by then, or without endpoint or event.")
    cursor = models.UUIDField(null=True, blank=True)
    until = models.DateTimeField(help_text="Deliveries planned later are not part of it.")
    actor = models.TextField()
    reason = models.TextField(default="", blank=True)
    approved = models.BooleanField(
        default=False, help_text="A second person agreed: it may take many, and deliveries that called somebody."
    )
    note = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    stepped_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=ReplayState.values), name="replay_state_known"),
            models.CheckConstraint(condition=models.Q(action__in=ReplayAction.values), name="replay_action_known"),
        ]

    def __str__(self) -> str:
        return f"replay {self.id} {self.state}"


class FeedItem(models.Model):
    """What the console channel delivered: one line of the ops console's feed. The id is the delivery's."""

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="feed_items")
    endpoint = models.ForeignKey("subscriptions.Endpoint", models.CASCADE, related_name="feed_items")
    event_id = models.UUIDField()
    type = models.TextField()
    subject = models.TextField()
    severity = models.TextField(default="info")
    summary = models.TextField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["tenant", "-id"], name="feed_item_tenant")]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"
