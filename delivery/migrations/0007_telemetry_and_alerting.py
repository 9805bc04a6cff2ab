from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import eventcenter.ids
from eventcenter.row_security import protect_by_tenant, unprotect

BY_TENANT = (
    "delivery_deliveryhour",
    "delivery_duplicatesend",
    "delivery_alertrule",
    "delivery_incident",
    "delivery_alertcontact",
    "delivery_page",
)
STATES = "UPDATE delivery_alert SET state = CASE WHEN resolved_at IS NULL THEN 'firing' ELSE 'resolved' END, fired_at = raised_at"


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0006_approvals_and_work_orders"),
        ("subscriptions", "0009_archive"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeliveryHour",
            fields=[
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
                    "duplicates",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Sends that may have reached the receiver twice."
                    ),
                ),
                (
                    "signature_refused",
                    models.BigIntegerField(default=0, help_text="Attempts that the receiver answered with 401 or 403."),
                ),
                (
                    "latency_buckets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                ("latency_ms_sum", models.FloatField(default=0)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hour", "endpoint_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("endpoint_id", models.BigIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Page",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("tenant_id", models.BigIntegerField(blank=True, null=True)),
                (
                    "action",
                    models.TextField(
                        choices=[("trigger", "Trigger"), ("acknowledge", "Acknowledge"), ("resolve", "Resolve")]
                    ),
                ),
                ("body", models.JSONField(default=dict, help_text="What is said; no secret.")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tries", models.IntegerField(default=0)),
                (
                    "next_at",
                    models.DateTimeField(blank=True, help_text="None once it was sent or given up.", null=True),
                ),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True, default="", help_text="Of the last try.")),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="fired_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="alert",
            name="muted",
            field=models.BooleanField(default=False, help_text="Its rule was muted when it fired: nobody was called."),
        ),
        migrations.AddField(
            model_name="alert",
            name="state",
            field=models.TextField(
                choices=[("pending", "Pending"), ("firing", "Firing"), ("resolved", "Resolved")], default="firing"
            ),
        ),
        migrations.RunSQL(STATES, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="alert",
            name="well_since",
            field=models.DateTimeField(
                blank=True, help_text="Firing, and its rule does not hold since then.", null=True
            ),
        ),
        migrations.AddField(
            model_name="deliverycounter",
            name="duplicates",
            field=models.BigIntegerField(
                db_default=0, default=0, help_text="Sends that may have reached the receiver twice."
            ),
        ),
        migrations.AddField(
            model_name="deliverycounter",
            name="signature_refused",
            field=models.BigIntegerField(default=0, help_text="Attempts that the receiver answered with 401 or 403."),
        ),
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.TextField(help_text="A rule's kind, such as failure_rate or endpoint.disabled."),
        ),
        migrations.AlterField(
            model_name="alert",
            name="raised_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="When it was first seen, pending or not.",
            ),
        ),
        migrations.CreateModel(
            name="AlertContact",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("channel", models.TextField(choices=[("pagerduty", "PagerDuty"), ("email", "E-mail")])),
                ("address", models.TextField(blank=True, default="", help_text="E-mail only.")),
                (
                    "sealed_routing_key",
                    models.BinaryField(blank=True, help_text="PagerDuty's integration key, encrypted.", null=True),
                ),
                (
                    "least_severity",
                    models.TextField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], default="warning"
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_contacts",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("failure_rate", "An endpoint's attempts fail"),
                            ("tenant_failure_rate", "A tenant's attempts fail"),
                            ("signature_refused", "A receiver refuses our signature"),
                            ("publish_signature", "A publisher's signature is wrong"),
                            ("latency", "Deliveries take long"),
                            ("oldest_due", "Deliveries wait that could go"),
                            ("dead_letters", "Deliveries are given up"),
                            ("breaker_open", "A circuit breaker is open"),
                            ("consumer_lag", "Events wait in Kafka"),
                            ("outbox_stuck", "Accepted events do not reach Kafka"),
                            ("process_missing", "A process gives no sign of life"),
                            ("endpoint.failing", "An endpoint takes nothing any more"),
                            ("endpoint.disabled", "The system disabled an endpoint"),
                            ("signing_key.rotation_due", "A signing key is due for rotation"),
                            ("audit.broken", "An audit trail was changed"),
                        ]
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("threshold", models.FloatField(help_text="It fires above this.")),
                (
                    "clear_below",
                    models.FloatField(help_text="It resolves at or below this; between the two nothing changes."),
                ),
                ("window_s", models.PositiveIntegerField(help_text="Seconds that are looked at.")),
                (
                    "minimum_count",
                    models.PositiveIntegerField(default=0, help_text="Fewer than this many say nothing."),
                ),
                (
                    "for_s",
                    models.PositiveIntegerField(default=0, help_text="It must hold for so long before it fires."),
                ),
                (
                    "clear_for_s",
                    models.PositiveIntegerField(
                        default=60, help_text="It must be well for so long before it is resolved."
                    ),
                ),
                (
                    "severity",
                    models.TextField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], default="warning"
                    ),
                ),
                (
                    "muted_until",
                    models.DateTimeField(
                        blank=True, help_text="Until then nobody is called; it is still shown.", null=True
                    ),
                ),
                ("mute_reason", models.TextField(blank=True, default="")),
                ("managed", models.BooleanField(default=False, help_text="Made by config/events/alert-rules.yaml.")),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to="subscriptions.endpoint",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["kind", "tenant_id", "endpoint_id"],
            },
        ),
        migrations.CreateModel(
            name="DuplicateSend",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("delivery_id", models.UUIDField()),
                ("tenant_id", models.BigIntegerField()),
                ("endpoint_id", models.BigIntegerField()),
                (
                    "cause",
                    models.TextField(
                        choices=[("late", "Recorded too late"), ("resent", "Sent again after its worker went silent")]
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["delivery_id"], name="duplicate_send_delivery")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("cause__in", ["late", "resent"])), name="duplicate_cause_known"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("tenant_id", models.BigIntegerField(blank=True, null=True)),
                ("cause", models.TextField(help_text="endpoint:42, tenant:7, platform:consumer …")),
                (
                    "severity",
                    models.TextField(choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")]),
                ),
                ("summary", models.TextField(help_text="Of the alert that opened it.")),
                ("opened_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_by", models.TextField(blank=True, default="")),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None)), fields=("cause",), name="incident_open_once_a_cause"
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="incident",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="alerts",
                to="delivery.incident",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "firing", "resolved"])), name="alert_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("resolved_at__isnull", False), ("state", "resolved")),
                    models.Q(models.Q(("state", "resolved"), _negated=True), ("resolved_at", None)),
                    _connector="OR",
                ),
                name="alert_resolved_at_a_time",
            ),
        ),
        migrations.AddField(
            model_name="page",
            name="contact",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="pages", to="delivery.alertcontact"
            ),
        ),
        migrations.AddField(
            model_name="page",
            name="incident",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="pages", to="delivery.incident"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertcontact",
            constraint=models.CheckConstraint(
                condition=models.Q(("channel__in", ["pagerduty", "email"])), name="contact_channel_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertcontact",
            constraint=models.UniqueConstraint(
                fields=("tenant", "name"), name="contact_name_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "failure_rate",
                            "tenant_failure_rate",
                            "signature_refused",
                            "publish_signature",
                            "latency",
                            "oldest_due",
                            "dead_letters",
                            "breaker_open",
                            "consumer_lag",
                            "outbox_stuck",
                            "process_missing",
                            "endpoint.failing",
                            "endpoint.disabled",
                            "signing_key.rotation_due",
                            "audit.broken",
                        ],
                    )
                ),
                name="alert_rule_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("clear_below__lte", models.F("threshold"))), name="alert_rule_clears_below"
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                fields=("kind", "tenant", "endpoint"), name="alert_rule_once_a_scope", nulls_distinct=False
            ),
        ),
        migrations.AddIndex(
            model_name="page",
            index=models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="page_due"),
        ),
        migrations.AddConstraint(
            model_name="page",
            constraint=models.CheckConstraint(
                condition=models.Q(("action__in", ["trigger", "acknowledge", "resolve"])), name="page_action_known"
            ),
        ),
        *[migrations.RunSQL(protect_by_tenant(table), unprotect(table)) for table in BY_TENANT],
    ]
