from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

# Partitioned by day on the delivery's id (its event's millisecond and a hash). No status stands in an index or its
# predicate and pages keep room: the usual life of a row, one insert and one update, stays HOT (no index is touched).
DELIVERY_SQL = """
CREATE TABLE delivery_delivery (
    id uuid NOT NULL PRIMARY KEY,
    tenant_id bigint NOT NULL,
    event_id uuid NOT NULL,
    subscription_id bigint NOT NULL,
    endpoint_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    attempts smallint NOT NULL DEFAULT 0,
    tries smallint NOT NULL DEFAULT 0,
    replays smallint NOT NULL DEFAULT 0,
    round_at timestamptz NOT NULL,
    next_attempt_at timestamptz,
    due_at timestamptz,
    held_reason text NOT NULL DEFAULT '',
    finished_at timestamptz,
    dead_at timestamptz,
    dead_reason text NOT NULL DEFAULT '',
    last_status_code smallint,
    last_error_kind text NOT NULL DEFAULT '',
    CONSTRAINT delivery_status_known CHECK (status IN ('pending', 'retrying', 'delivered', 'dead', 'cancelled'))
) PARTITION BY RANGE (id);
CREATE INDEX delivery_delivery_tenant ON delivery_delivery (tenant_id, id DESC);
CREATE INDEX delivery_delivery_subscription ON delivery_delivery (tenant_id, subscription_id, id DESC);
CREATE INDEX delivery_delivery_due ON delivery_delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_delivery_dead ON delivery_delivery (tenant_id, id DESC) WHERE dead_at IS NOT NULL;
CREATE TABLE delivery_delivery_default PARTITION OF delivery_delivery DEFAULT WITH (fillfactor = 60);
"""
DELIVERY_REVERSE = "DROP TABLE delivery_delivery;"

ATTEMPT_SQL = """
CREATE TABLE delivery_attempt (
    delivery_id uuid NOT NULL,
    number smallint NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms double precision NOT NULL,
    outcome text NOT NULL,
    status_code smallint,
    error_kind text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    response_headers jsonb NOT NULL DEFAULT '[]',
    response_body bytea NOT NULL DEFAULT '',
    remote_address text NOT NULL DEFAULT '',
    worker text NOT NULL DEFAULT '',
    replay boolean NOT NULL DEFAULT false,
    PRIMARY KEY (delivery_id, number)
) PARTITION BY RANGE (delivery_id);
CREATE TABLE delivery_attempt_default PARTITION OF delivery_attempt DEFAULT;
"""
ATTEMPT_REVERSE = "DROP TABLE delivery_attempt;"

# The sweep asks for expired leases every second; dispatch rows live for milliseconds, so vacuum comes by number, not share.
DISPATCH_SQL = """
CREATE INDEX delivery_dispatch_lease ON delivery_dispatch (lease_until);
ALTER TABLE delivery_dispatch SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE delivery_deliverycounter SET (fillfactor = 50);
"""
DISPATCH_REVERSE = "DROP INDEX delivery_dispatch_lease;"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("eventcenter", "0001_initial"),
        ("subscriptions", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeliveryCounter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute", "endpoint_id", "shard", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("endpoint_id", models.BigIntegerField()),
                ("shard", models.SmallIntegerField()),
                ("tenant_id", models.BigIntegerField()),
                ("attempts", models.BigIntegerField(default=0)),
                ("first_attempts", models.BigIntegerField(default=0)),
                ("first_delivered", models.BigIntegerField(default=0)),
                ("delivered", models.BigIntegerField(default=0)),
                ("failed", models.BigIntegerField(default=0)),
                ("retried", models.BigIntegerField(default=0)),
                ("dead", models.BigIntegerField(default=0)),
                ("deferred", models.BigIntegerField(default=0)),
                (
                    "latency_buckets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                ("latency_ms_sum", models.FloatField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Dispatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "lane",
                    models.TextField(choices=[("fast", "Fast"), ("slow", "Slow"), ("retry", "Retry")], default="fast"),
                ),
                ("token", models.IntegerField(default=0)),
                ("delivery_ids", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ("not_before", models.DateTimeField(null=True)),
                ("claimed_by", models.TextField(default="")),
                ("lease_until", models.DateTimeField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name_plural": "dispatches",
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(DELIVERY_SQL, DELIVERY_REVERSE)],
            state_operations=[
                migrations.CreateModel(
                    name="Delivery",
                    fields=[
                        ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                        (
                            "status",
                            models.TextField(
                                choices=[
                                    ("pending", "Pending"),
                                    ("retrying", "Retrying"),
                                    ("delivered", "Delivered"),
                                    ("dead", "Dead"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="pending",
                            ),
                        ),
                        ("attempts", models.SmallIntegerField(default=0)),
                        ("tries", models.SmallIntegerField(default=0)),
                        ("replays", models.SmallIntegerField(default=0)),
                        (
                            "round_at",
                            models.DateTimeField(help_text="Start of this round: the plan, or the last replay."),
                        ),
                        ("next_attempt_at", models.DateTimeField(null=True)),
                        ("due_at", models.DateTimeField(null=True)),
                        ("held_reason", models.TextField(default="")),
                        ("finished_at", models.DateTimeField(null=True)),
                        ("dead_at", models.DateTimeField(null=True)),
                        ("dead_reason", models.TextField(default="")),
                        ("last_status_code", models.SmallIntegerField(null=True)),
                        ("last_error_kind", models.TextField(default="")),
                        (
                            "endpoint",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="deliveries",
                                to="subscriptions.endpoint",
                            ),
                        ),
                        (
                            "event",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="deliveries",
                                to="eventcenter.event",
                            ),
                        ),
                        (
                            "subscription",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="deliveries",
                                to="subscriptions.subscription",
                            ),
                        ),
                        (
                            "tenant",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="deliveries",
                                to="subscriptions.tenant",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "deliveries",
                    },
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ATTEMPT_SQL, ATTEMPT_REVERSE)],
            state_operations=[
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "delivery_id", "number", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("number", models.SmallIntegerField()),
                        ("started_at", models.DateTimeField()),
                        ("duration_ms", models.FloatField()),
                        ("outcome", models.TextField()),
                        ("status_code", models.SmallIntegerField(null=True)),
                        ("error_kind", models.TextField(default="")),
                        ("error", models.TextField(default="")),
                        ("response_headers", models.JSONField(default=list)),
                        ("response_body", models.BinaryField(default=b"")),
                        ("remote_address", models.TextField(default="")),
                        ("worker", models.TextField(default="")),
                        ("replay", models.BooleanField(default=False)),
                        (
                            "delivery",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="attempt_rows",
                                to="delivery.delivery",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["number"],
                    },
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[],
            state_operations=[
                migrations.AddConstraint(
                    model_name="delivery",
                    constraint=models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "retrying", "delivered", "dead", "cancelled"])),
                        name="delivery_status_known",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(DISPATCH_SQL, DISPATCH_REVERSE),
    ]
