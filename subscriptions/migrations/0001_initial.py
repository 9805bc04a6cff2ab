from __future__ import annotations

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
                                "Takes 1–63 of a–z, 0–9 and '-', not '-' at an end.",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("channel", models.CharField(choices=[("webhook", "Webhook")], default="webhook", max_length=20)),
                ("url", models.CharField(max_length=2000)),
                (
                    "content_mode",
                    models.CharField(
                        choices=[("structured", "Structured"), ("binary", "Binary")],
                        default="structured",
                        max_length=20,
                    ),
                ),
                (
                    "sealed_headers",
                    models.BinaryField(help_text="Custom headers (JSON), sealed: they carry tokens.", null=True),
                ),
                (
                    "timeout_s",
                    models.FloatField(
                        default=15.0,
                        help_text="Total deadline, seconds.",
                        validators=[
                            django.core.validators.MinValueValidator(0.1),
                            django.core.validators.MaxValueValidator(20),
                        ],
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("enabled", "Enabled"), ("paused", "Paused"), ("disabled", "Disabled")],
                        default="enabled",
                        max_length=20,
                    ),
                ),
                ("state_reason", models.CharField(blank=True, max_length=300)),
                ("lane", models.CharField(choices=[("fast", "Fast"), ("slow", "Slow")], default="fast", max_length=10)),
                (
                    "managed_by",
                    models.CharField(
                        blank=True, editable=False, help_text="'yaml' when a file owns it.", max_length=40
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "ordering": ["tenant__slug", "slug"],
            },
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        help_text="The CloudEvents `tenant` attribute.",
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
                                "Takes 1–63 of a–z, 0–9 and '-', not '-' at an end.",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("active", models.BooleanField(default=True, help_text="Events of an inactive tenant are refused.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "ordering": ["slug"],
            },
        ),
        migrations.CreateModel(
            name="EndpointSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed_secret", models.BinaryField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="Signs until then; empty: until revoked.", null=True),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="secrets", to="subscriptions.endpoint"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="endpoint",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="endpoints", to="subscriptions.tenant"
            ),
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$",
                                "Takes 1–63 of a–z, 0–9 and '-', not '-' at an end.",
                            )
                        ],
                    ),
                ),
                (
                    "types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        help_text="Event types, exact or with a last '.*'.",
                        size=None,
                    ),
                ),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="The event has at least one of these.",
                        size=None,
                    ),
                ),
                (
                    "filters",
                    models.JSONField(
                        blank=True, default=list, help_text="CloudEvents Subscriptions filters; all must hold."
                    ),
                ),
                ("retry_policy", models.JSONField(blank=True, help_text="Empty: the standard schedule.", null=True)),
                ("active", models.BooleanField(default=True)),
                (
                    "managed_by",
                    models.CharField(
                        blank=True, editable=False, help_text="'yaml' when a file owns it.", max_length=40
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="subscriptions",
                        to="subscriptions.endpoint",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="subscriptions",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["tenant__slug", "slug"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="subscription_slug_once_a_tenant")
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="endpoint_slug_once_a_tenant"),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["enabled", "paused", "disabled"])), name="endpoint_state_known"
            ),
        ),
    ]
