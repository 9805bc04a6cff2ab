from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import eventcenter.ids

# Held deliveries by endpoint, for delivery.release; those that wait for their turn are found through their own queue. In a
# delivery's usual life held_reason stays empty: it remains HOT.
HELD_SQL = """
CREATE INDEX delivery_delivery_held ON delivery_delivery (endpoint_id, id)
    WHERE held_reason <> '' AND held_reason <> 'ordering';
CREATE INDEX delivery_dispatch_endpoint ON delivery_dispatch (endpoint_id) WHERE endpoint_id IS NOT NULL;
"""
HELD_REVERSE = """
DROP INDEX delivery_delivery_held;
DROP INDEX delivery_dispatch_endpoint;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0003_histogram"),
        ("subscriptions", "0002_governance"),
    ]

    operations = [
        migrations.AddField(
            model_name="dispatch",
            name="endpoint_id",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name="dispatch",
            name="lane",
            field=models.TextField(
                choices=[
                    ("fast", "Fast"),
                    ("slow", "Slow"),
                    ("bulk0", "Bulk 0"),
                    ("bulk1", "Bulk 1"),
                    ("bulk2", "Bulk 2"),
                    ("bulk3", "Bulk 3"),
                    ("retry", "Retry"),
                ],
                default="fast",
            ),
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("kind", models.TextField(help_text="endpoint.failing, endpoint.disabled …")),
                ("dedup_key", models.TextField()),
                (
                    "severity",
                    models.TextField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], default="warning"
                    ),
                ),
                ("tenant_id", models.BigIntegerField(blank=True, null=True)),
                ("endpoint_id", models.BigIntegerField(blank=True, null=True)),
                ("summary", models.TextField()),
                ("details", models.JSONField(blank=True, default=dict)),
                ("raised_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None)), fields=("dedup_key",), name="alert_open_once_a_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Breaker",
            fields=[
                ("endpoint_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("tenant_id", models.BigIntegerField()),
                (
                    "state",
                    models.TextField(
                        choices=[("closed", "Closed"), ("open", "Open"), ("half_open", "Half-open")], default="closed"
                    ),
                ),
                ("reason", models.TextField(blank=True, default="")),
                ("by_hand", models.BooleanField(default=False)),
                ("opened_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("next_probe_at", models.DateTimeField(blank=True, null=True)),
                ("probe_delivery_id", models.UUIDField(blank=True, null=True)),
                ("probe_until", models.DateTimeField(blank=True, null=True)),
                (
                    "openings",
                    models.SmallIntegerField(
                        default=0, help_text="In a row, without a success between; waits grow with it."
                    ),
                ),
                ("hold_until", models.DateTimeField(blank=True, null=True)),
                ("hold_reason", models.TextField(blank=True, default="")),
                ("consecutive", models.IntegerField(default=0, help_text="Failures since the last success.")),
                ("window_at", models.DateTimeField(blank=True, null=True)),
                ("succeeded", models.IntegerField(default=0)),
                ("failed", models.IntegerField(default=0)),
                ("succeeded_before", models.IntegerField(default=0)),
                ("failed_before", models.IntegerField(default=0)),
                (
                    "failing_since",
                    models.DateTimeField(blank=True, help_text="The first failure since the last success.", null=True),
                ),
                (
                    "warned_percent",
                    models.SmallIntegerField(
                        default=0, help_text="Of the time to auto-disable; the last warning given."
                    ),
                ),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["closed", "open", "half_open"])), name="breaker_state_known"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="OrderedDelivery",
            fields=[
                ("seq", models.BigAutoField(primary_key=True, serialize=False)),
                ("order_key", models.UUIDField()),
                ("subscription_id", models.BigIntegerField()),
                ("delivery_id", models.UUIDField(unique=True)),
            ],
            options={
                "verbose_name_plural": "ordered deliveries",
                "indexes": [models.Index(fields=["order_key", "seq"], name="ordered_delivery_head")],
            },
        ),
        migrations.CreateModel(
            name="FeedItem",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("event_id", models.UUIDField()),
                ("type", models.TextField()),
                ("subject", models.TextField()),
                ("severity", models.TextField(default="info")),
                ("summary", models.TextField()),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feed_items",
                        to="subscriptions.endpoint",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feed_items",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["tenant", "-id"], name="feed_item_tenant")],
            },
        ),
        migrations.CreateModel(
            name="ReplayJob",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("criteria", models.JSONField(help_text="delivery.replays.criteria: the filter, as it was given.")),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("draft", "Preview"),
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("cancelled", "Cancelled"),
                            ("done", "Done"),
                        ],
                        default="draft",
                    ),
                ),
                ("rate_per_s", models.FloatField()),
                ("total", models.IntegerField(default=0, help_text="What the filter found when it was counted.")),
                ("queued", models.IntegerField(default=0)),
                ("skipped", models.IntegerField(default=0, help_text="Open by then, or without endpoint or event.")),
                ("cursor", models.UUIDField(blank=True, null=True)),
                ("until", models.DateTimeField(help_text="Deliveries planned later are not part of it.")),
                ("actor", models.TextField()),
                ("reason", models.TextField(blank=True, default="")),
                ("note", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("stepped_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="replay_jobs",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["draft", "running", "paused", "cancelled", "done"])),
                        name="replay_state_known",
                    )
                ],
            },
        ),
        migrations.RunSQL(HELD_SQL, HELD_REVERSE),
    ]
