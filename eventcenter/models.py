"""Events and what carries them: type registry, idempotency keys, outbox, consumer offsets, rejected messages."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from waffle.managers import FlagManager
from waffle.models import AbstractUserFlag

from eventcenter.access.models import ApiKey, Membership
from eventcenter.ids import new_id

__all__ = [
    "ApiKey",
    "ConfigRevision",
    "ConsumerOffset",
    "Event",
    "EventType",
    "Heartbeat",
    "IdempotencyKey",
    "IngestCounter",
    "Membership",
    "OutboxMessage",
    "PublishKey",
    "PublishRefusalCounter",
    "RejectReason",
    "RejectedEvent",
    "RejectedEventQuerySet",
]


class EventType(models.Model):
    """One version of one event type, with the JSON Schema that its `data` must satisfy."""

    name = models.CharField(max_length=200, help_text="CloudEvents `type`, e.g. plugin.release.published")
    version = models.PositiveSmallIntegerField()
    description = models.TextField(blank=True)
    schema = models.JSONField(help_text="JSON Schema 2020-12 of the event's data.")
    active = models.BooleanField(default=True, help_text="An inactive version is no longer accepted.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["name", "version"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "version"], name="event_type_version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class DataKey(models.Model):
    """A key that values are sealed with (eventcenter.crypto), itself encrypted by a master key of ENCRYPTION_KEYS.

    The newest one that is not retired seals; every one opens what it sealed, so that none is ever deleted.
    """

    id = models.CharField(primary_key=True, max_length=40, help_text="Stands at the head of each value it sealed.")
    master_key_id = models.TextField(help_text="The name in ENCRYPTION_KEYS of the key that wraps it.")
    wrapped = models.BinaryField(editable=False)
    created_at = models.DateTimeField(db_default=Now())
    retired_at = models.DateTimeField(null=True, blank=True, help_text="Seals nothing since then.")

    def __str__(self) -> str:
        return f"{self.id} under {self.master_key_id}"


class PublishKey(models.Model):
    """A publisher's identity: the public id that it names and the secret (Standard Webhooks, sealed) that it signs with.

    While it is rotated the secret before the present one is good, too, until `previous_expires_at`.
    """

    SECRET_PURPOSE = "publish-secret"  # noqa: S105 - the name of a purpose, not a secret
    PREVIOUS_SECRET_PURPOSE = SECRET_PURPOSE  # a rotation moves the value over as it is

    key_id = models.CharField(max_length=40, unique=True, help_text="Sent as x-publish-key.")
    tenant = models.ForeignKey("subscriptions.Tenant", on_delete=models.CASCADE, related_name="publish_keys")
    name = models.CharField(max_length=100)
    sealed_secret = models.BinaryField()
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)
    secret_created_at = models.DateTimeField(db_default=Now(), editable=False)
    sealed_previous_secret = models.BinaryField(null=True, editable=False)
    previous_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    reminded_days = models.SmallIntegerField(
        null=True, editable=False, help_text="The last reminder that it is due: so many days before; 0: overdue."
    )

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["tenant"], condition=models.Q(reminded_days__isnull=False), name="publish_key_reminded"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} ({self.name})"


class AdapterKind(models.TextChoices):
    """The forges whose releases can be taken; eventcenter.adapters.registry says how."""

    GITHUB = "github", "GitHub"
    GITLAB = "gitlab", "GitLab"
    OCI = "oci", "OCI registry (CNCF Distribution)"
    HARBOR = "harbor", "Harbor"


class Adapter(models.Model):
    """A forge's way in: the URL that it calls, the secret that it proves itself with, and which of its releases count."""

    SECRET_PURPOSE = "adapter-secret"  # noqa: S105 - the name of a purpose, not a secret
    PREVIOUS_SECRET_PURPOSE = SECRET_PURPOSE  # a rotation moves the value over as it is

    public_id = models.CharField(max_length=40, unique=True, help_text="The last part of the URL.")
    tenant = models.ForeignKey("subscriptions.Tenant", on_delete=models.CASCADE, related_name="adapters")
    kind = models.CharField(max_length=10, choices=AdapterKind.choices)
    name = models.CharField(max_length=100)
    active = models.BooleanField(default=True, help_text="A paused adapter answers its forge, and publishes nothing.")
    sealed_secret = models.BinaryField()
    secret_made_at = models.DateTimeField(db_default=Now())
    sealed_previous_secret = models.BinaryField(null=True, help_text="Taken along until previous_until.")
    previous_until = models.DateTimeField(null=True, blank=True)
    repositories = ArrayField(models.TextField(), default=list, blank=True)
    plugin_ids = models.JSONField(default=dict, blank=True)
    tag_prefix = models.CharField(max_length=100, blank=True, default="")
    asset_pattern = models.CharField(max_length=200, blank=True, default="")
    media_types = ArrayField(models.TextField(), default=list, blank=True)
    prereleases = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=AdapterKind.values), name="adapter_kind_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_kind_display()})"


class AdapterOutcome(models.TextChoices):
    """What became of what a forge sent. Of an envelope with several events, each is counted."""

    ACCEPTED = "accepted", "Published"
    DUPLICATE = "duplicate", "Known already"
    IGNORED = "ignored", "Ignored"
    REFUSED = "refused", "Refused"


class AdapterCount(models.Model):
    """How often an adapter's messages came to what, and why, in one minute. `reason` is empty where none is needed."""

    tenant = models.ForeignKey("subscriptions.Tenant", on_delete=models.CASCADE, related_name="+")
    adapter = models.ForeignKey(Adapter, on_delete=models.CASCADE, related_name="counts", db_index=False)
    minute = models.DateTimeField()
    outcome = models.TextField(choices=AdapterOutcome.choices)
    reason = models.TextField(default="")
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["adapter", "minute", "outcome", "reason"], name="adapter_count_once_a_minute"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.outcome} {self.reason} {self.count}"


class IdempotencyKey(models.Model):
    """Who has the right to be the event of a (tenant, idempotency key). Small, so that it stays in memory.

    The digest is 16 bytes of BLAKE2b over both. `ingested_at` is set once, by whichever ingest transaction plans the
    event; a row without it was accepted by the API and is still on its way through the bus.
    """

    digest = models.UUIDField(primary_key=True)
    event_id = models.UUIDField()
    created_at = models.DateTimeField(db_default=Now())
    ingested_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.digest} → {self.event_id}"


class OutboxMessage(models.Model):
    """An accepted event that Kafka has not acknowledged yet. Deleted on acknowledgement; the relay sweeps what stays."""

    id = models.UUIDField(primary_key=True, help_text="The event's id.")
    key = models.CharField(max_length=600, help_text="Kafka message key: tenant|subject.")
    body = models.BinaryField(help_text="The canonical structured CloudEvent.")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "id"], name="eventcenter_outbox_key")]

    def __str__(self) -> str:
        return str(self.id)


class Event(models.Model):
    """An ingested event. Partitioned by day on its UUIDv7 id; written by eventcenter.store only."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(
        "subscriptions.Tenant", on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="events"
    )
    type = models.TextField()
    source = models.TextField()
    subject = models.TextField()
    producer_id = models.TextField(help_text="The CloudEvents id that the producer gave.")
    time = models.DateTimeField(null=True, help_text="When it happened, by the producer's clock.")
    tags = ArrayField(models.TextField())
    traceparent = models.TextField()
    tracestate = models.TextField(
        blank=True, db_default="", help_text="W3C, as the producer gave it and as it is passed on; empty in most cases."
    )
    idempotency_key = models.TextField()
    version = models.TextField(
        blank=True, db_default="", help_text="The release's, from the data; empty without one, and on older rows."
    )
    trace = models.UUIDField(null=True, help_text="The traceparent's trace id, to be found by; none on older rows.")
    body = models.BinaryField(help_text="The canonical structured CloudEvent: what webhooks send, byte for byte.")
    kafka_partition = models.IntegerField()
    kafka_offset = models.BigIntegerField()
    ingested_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.type} {self.subject} {self.id}"


class ConsumerOffset(models.Model):
    """The next offset to read of one partition, the truth over Kafka's: moved by compare-and-set in the ingest transaction."""

    topic = models.CharField(max_length=249)
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["topic", "partition"], name="consumer_offset_once_a_partition"),
        ]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] {self.next_offset}"


class RejectReason(models.TextChoices):
    """Why a message from the bus was kept instead of planned."""

    UNREADABLE = "unreadable", "Not a CloudEvent"
    INVALID = "invalid", "Breaks the schema of its type"
    UNKNOWN_TYPE = "unknown_type", "Event type not registered"
    UNKNOWN_TENANT = "unknown_tenant", "No such tenant"
    ID_TAKEN = "id_taken", "Another event has this id"
    UNSTORABLE = "unstorable", "The database refused it"


class RejectedEventQuerySet(models.QuerySet["RejectedEvent"]):
    def waiting(self) -> RejectedEventQuerySet:
        """Those that nobody has sent on again."""
        return self.filter(reingested_at=None)

    def settled(self) -> RejectedEventQuerySet:
        return self.filter(reingested_at__isnull=False)

    def for_list(self) -> RejectedEventQuerySet:
        """Without what may be large."""
        return self.defer("value", "headers", "key")


class RejectedEvent(models.Model):
    """A message that could not become an event: kept with the reason, where it came from and its raw bytes.

    Partitioned by day on its UUIDv7 id. Once it was sent on again (eventcenter.reingest) `reingested_as` is the event that
    it became or, where that is a duplicate, the one that has its idempotency key.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant_slug = models.TextField(help_text="As far as it could be read.")
    reason = models.TextField(choices=RejectReason.choices)
    detail = models.TextField(help_text="Each wrong field, with what it takes.")
    topic = models.TextField()
    kafka_partition = models.IntegerField()
    kafka_offset = models.BigIntegerField()
    key = models.BinaryField(null=True)
    headers = models.JSONField(
        help_text="Pairs of name and value; values that are not UTF-8 are base64 behind 'base64:'."
    )
    value = models.BinaryField()
    reingested_at = models.DateTimeField(null=True, editable=False)
    reingested_by = models.TextField(default="", db_default="", editable=False)
    reingested_as = models.UUIDField(null=True, editable=False, help_text="The event's id.")
    reingested_duplicate = models.BooleanField(default=False, db_default=False, editable=False)

    objects = RejectedEventQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.reason} {self.topic}[{self.kafka_partition}]@{self.kafka_offset}"


class IngestCounter(models.Model):
    """What one consumer process did in one minute. Summed over `shard` when read; a shard keeps writers off one row."""

    pk = models.CompositePrimaryKey("minute", "shard")
    minute = models.DateTimeField()
    shard = models.SmallIntegerField()
    ingested = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    planned = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.ingested}"


class PublishRefusalCounter(models.Model):
    """How often one process refused a publish because of its proof, in one minute: a wrong signature, a clock that is off …

    `tenant_id` is the named key's; 0: the key is unknown. Of old minutes a row a day is left, with the shard -1
    (eventcenter.refusals).
    """

    pk = models.CompositePrimaryKey("minute", "tenant_id", "reason", "shard")
    minute = models.DateTimeField()
    tenant_id = models.BigIntegerField()
    reason = models.TextField()
    shard = models.SmallIntegerField()
    count = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.reason} {self.count}"


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def seen_since(self, at: datetime) -> HeartbeatQuerySet:
        return self.filter(seen_at__gte=at)


class Heartbeat(models.Model):
    """The last sign of life of one long-running process."""

    role = models.CharField(max_length=40, help_text="relay, consumer, worker, sweep …")
    instance = models.CharField(max_length=120, help_text="host:pid")
    seen_at = models.DateTimeField()
    since = models.DateTimeField(db_default=Now(), help_text="Since when it beats without a silence.")

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["role", "instance"], name="heartbeat_once_a_process")]

    def __str__(self) -> str:
        return f"{self.role} {self.instance}"


class ConfigRevision(models.Model):
    """One row, bumped by triggers on every table of configuration; a change tells each process to load again."""

    revision = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.revision)


class FeatureFlag(AbstractUserFlag):
    """A switch of eventcenter.flags: for everybody by `everyone`, else for the tenants listed here.

    waffle's own choices (users, groups, a share of requests) have no say: events have no request.
    """

    tenants = models.ManyToManyField(
        "subscriptions.Tenant",
        blank=True,
        related_name="+",
        help_text="Those it is on for, while 'everyone' is unknown.",
    )

    objects: ClassVar[models.Manager[FeatureFlag]] = FlagManager()  # type: ignore[assignment]

    class Meta(AbstractUserFlag.Meta):
        abstract = False
        ordering: ClassVar = ["name"]
