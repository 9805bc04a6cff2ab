"""What happened, counted: by the minute as it happens, by the hour for good, and each known duplicate by itself."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from eventcenter.ids import new_id


class Counts(models.Model):
    """The counts of a span of time. Latency is from the event's acceptance to the 2xx answer of a first-round delivery, in
    buckets that do not overlap (each delivery is in exactly one; the bounds are in delivery.counters)."""

    tenant_id = models.BigIntegerField()
    attempts = models.BigIntegerField(default=0)
    first_attempts = models.BigIntegerField(default=0)
    first_delivered = models.BigIntegerField(default=0)
    delivered = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    retried = models.BigIntegerField(default=0)
    dead = models.BigIntegerField(default=0)
    deferred = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(
        default=0, db_default=0, help_text="Sends that may have reached the receiver twice."
    )
    signature_refused = models.BigIntegerField(
        default=0, help_text="Attempts that the receiver answered with 401 or 403."
    )
    latency_buckets = ArrayField(models.BigIntegerField(), default=list)
    latency_ms_sum = models.FloatField(
        default=0, help_text="Of whole milliseconds: exact, in whatever order they are added."
    )

    class Meta:
        abstract = True


class DeliveryCounter(Counts):
    """What one worker process did for one endpoint in one minute; sums over `shard` are what pages and alerts read."""

    pk = models.CompositePrimaryKey("minute", "endpoint_id", "shard")
    minute = models.DateTimeField()
    endpoint_id = models.BigIntegerField()
    shard = models.SmallIntegerField()

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} endpoint {self.endpoint_id}"


class DeliveryHour(Counts):
    """The sums of an hour's minute counters for one endpoint, made when that hour is settled; kept when the minutes go."""

    pk = models.CompositePrimaryKey("hour", "endpoint_id")
    hour = models.DateTimeField()
    endpoint_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 endpoint {self.endpoint_id}"


class DuplicateCause(models.TextChoices):
    """Why a receiver may have been sent the same thing twice."""

    LATE = "late", "Recorded too late"  # sent, but another worker held the dispatch when the result came
    RESENT = "resent", "Sent again after its worker went silent"  # what that worker had sent is not known


class DuplicateSend(models.Model):
    """One send that its receiver may have had before, under the same webhook-id. Receivers drop it by that.

    It is told apart by who sent in vain: the token under which a worker held the delivery's dispatch and lost it
    (delivery.worker.duplicates).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    delivery_id = models.UUIDField()
    tenant_id = models.BigIntegerField()
    endpoint_id = models.BigIntegerField()
    cause = models.TextField(choices=DuplicateCause.choices)
    dispatch_id = models.BigIntegerField()
    token = models.IntegerField()
    worker = models.TextField(help_text="Who lost the dispatch under that token.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(cause__in=DuplicateCause.values), name="duplicate_cause_known"),
            models.UniqueConstraint(fields=["delivery_id", "dispatch_id", "token"], name="duplicate_send_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["at"], name="duplicate_send_at"),
            models.Index(fields=["worker", "endpoint_id", "at"], name="duplicate_send_of"),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.cause}"


class TelemetryCursor(models.Model):
    """How far a total has been sent as increments, so that neither a restart nor another process sends it twice or never.

    Key: "endpoint:42", "ingest", "refused:7:mismatch", and "began" from the first send on, which sends no total.
    """

    key = models.TextField(primary_key=True)
    totals = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.key
