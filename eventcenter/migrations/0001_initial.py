from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import eventcenter.ids

# Partitioned by day on the UUIDv7 id. The default partition takes what no day takes, so that ingest never fails for want
# of a day; eventcenter.partitions makes the days and moves rows out of the default one.
EVENT_SQL = """
CREATE TABLE eventcenter_event (
    id uuid NOT NULL PRIMARY KEY,
    tenant_id bigint NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    subject text NOT NULL,
    producer_id text NOT NULL,
    time timestamptz,
    tags text[] NOT NULL,
    traceparent text NOT NULL,
    idempotency_key text NOT NULL,
    body bytea NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    ingested_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX eventcenter_event_tenant ON eventcenter_event (tenant_id, id DESC);
CREATE TABLE eventcenter_event_default PARTITION OF eventcenter_event DEFAULT;
"""
EVENT_REVERSE = "DROP TABLE eventcenter_event;"

REJECTEDEVENT_SQL = """
CREATE TABLE eventcenter_rejectedevent (
    id uuid NOT NULL PRIMARY KEY,
    tenant_slug text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    key bytea,
    headers jsonb NOT NULL,
    value bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE eventcenter_rejectedevent_default PARTITION OF eventcenter_rejectedevent DEFAULT;
"""
REJECTEDEVENT_REVERSE = "DROP TABLE eventcenter_rejectedevent;"

# Old keys leave by age (BRIN: 1 page per ~1,000 pages of keys). Room on each page keeps the ingested_at update HOT.
IDEMPOTENCY_SQL = """
ALTER TABLE eventcenter_idempotencykey SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX eventcenter_idempotencykey_created ON eventcenter_idempotencykey USING brin (created_at);
ALTER TABLE eventcenter_outboxmessage SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE eventcenter_ingestcounter SET (fillfactor = 50);
"""
IDEMPOTENCY_REVERSE = "DROP INDEX eventcenter_idempotencykey_created;"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("subscriptions", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="ConfigRevision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("revision", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("digest", models.UUIDField(primary_key=True, serialize=False)),
                ("event_id", models.UUIDField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("ingested_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="IngestCounter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute", "shard", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("shard", models.SmallIntegerField()),
                ("ingested", models.BigIntegerField(default=0)),
                ("duplicates", models.BigIntegerField(default=0)),
                ("rejected", models.BigIntegerField(default=0)),
                ("planned", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", models.UUIDField(help_text="The event's id.", primary_key=True, serialize=False)),
                ("key", models.CharField(help_text="Kafka message key: tenant|subject.", max_length=600)),
                ("body", models.BinaryField(help_text="The canonical structured CloudEvent.")),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(REJECTEDEVENT_SQL, REJECTEDEVENT_REVERSE)],
            state_operations=[
                migrations.CreateModel(
                    name="RejectedEvent",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_slug", models.TextField(help_text="As far as it could be read.")),
                        (
                            "reason",
                            models.TextField(
                                choices=[
                                    ("unreadable", "Not a CloudEvent"),
                                    ("invalid", "Breaks the schema of its type"),
                                    ("unknown_type", "Event type not registered"),
                                    ("unknown_tenant", "No such tenant"),
                                    ("id_taken", "Another event has this id"),
                                    ("unstorable", "The database refused it"),
                                ]
                            ),
                        ),
                        ("detail", models.TextField(help_text="Each wrong field, with what it takes.")),
                        ("topic", models.TextField()),
                        ("kafka_partition", models.IntegerField()),
                        ("kafka_offset", models.BigIntegerField()),
                        ("key", models.BinaryField(null=True)),
                        (
                            "headers",
                            models.JSONField(
                                help_text="Pairs of name and value; values that are not UTF-8 are base64 behind 'base64:'."
                            ),
                        ),
                        ("value", models.BinaryField()),
                    ],
                ),
            ],
        ),
        migrations.CreateModel(
            name="ConsumerOffset",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("topic", models.CharField(max_length=249)),
                ("partition", models.IntegerField()),
                ("next_offset", models.BigIntegerField()),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("topic", "partition"), name="consumer_offset_once_a_partition")
                ],
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(EVENT_SQL, EVENT_REVERSE)],
            state_operations=[
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("type", models.TextField()),
                        ("source", models.TextField()),
                        ("subject", models.TextField()),
                        ("producer_id", models.TextField(help_text="The CloudEvents id that the producer gave.")),
                        (
                            "time",
                            models.DateTimeField(help_text="When it happened, by the producer's clock.", null=True),
                        ),
                        ("tags", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                        ("traceparent", models.TextField()),
                        ("idempotency_key", models.TextField()),
                        (
                            "body",
                            models.BinaryField(
                                help_text="The canonical structured CloudEvent: what webhooks send, byte for byte."
                            ),
                        ),
                        ("kafka_partition", models.IntegerField()),
                        ("kafka_offset", models.BigIntegerField()),
                        ("ingested_at", models.DateTimeField()),
                        (
                            "tenant",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="events",
                                to="subscriptions.tenant",
                            ),
                        ),
                    ],
                ),
            ],
        ),
        migrations.CreateModel(
            name="EventType",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(help_text="CloudEvents `type`, e.g. plugin.release.published", max_length=200),
                ),
                ("version", models.PositiveSmallIntegerField()),
                ("description", models.TextField(blank=True)),
                ("schema", models.JSONField(help_text="JSON Schema 2020-12 of the event's data.")),
                ("active", models.BooleanField(default=True, help_text="An inactive version is no longer accepted.")),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ["name", "version"],
                "constraints": [models.UniqueConstraint(fields=("name", "version"), name="event_type_version_once")],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(help_text="relay, consumer, worker, sweep …", max_length=40)),
                ("instance", models.CharField(help_text="host:pid", max_length=120)),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("role", "instance"), name="heartbeat_once_a_process")],
            },
        ),
        migrations.CreateModel(
            name="PublishKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key_id", models.CharField(help_text="Sent as x-publish-key.", max_length=40, unique=True)),
                ("name", models.CharField(max_length=100)),
                ("sealed_secret", models.BinaryField()),
                ("active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="publish_keys",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(IDEMPOTENCY_SQL, IDEMPOTENCY_REVERSE),
    ]
