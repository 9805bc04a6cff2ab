from __future__ import annotations

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="config",
            field=models.JSONField(blank=True, default=dict, help_text="The channel's settings; nothing secret."),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="max_in_flight",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Requests at once over all workers; empty: the default of each worker.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(400)],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="rate_limit",
            field=models.FloatField(
                blank=True,
                help_text="Requests per second; empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(0.01),
                    django.core.validators.MaxValueValidator(100000),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="sealed_credentials",
            field=models.BinaryField(help_text="The channel's secret settings (JSON object), sealed.", null=True),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="template",
            field=models.CharField(
                blank=True, help_text="Shapes the request; empty: the CloudEvent itself.", max_length=40
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="template_params",
            field=models.JSONField(blank=True, default=dict, help_text="What the template asks for."),
        ),
        migrations.AddField(
            model_name="subscription",
            name="ordering",
            field=models.CharField(
                choices=[
                    ("none", "None"),
                    ("block", "In order; a dead one stops its key"),
                    ("skip", "In order; a dead one is passed over"),
                ],
                default="none",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="rate_limit",
            field=models.FloatField(
                blank=True,
                help_text="Requests per second over all its endpoints; empty: no limit.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(0.01),
                    django.core.validators.MaxValueValidator(100000),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="endpoint",
            name="channel",
            field=models.CharField(
                choices=[
                    ("webhook", "Webhook"),
                    ("kafka", "Kafka topic"),
                    ("amqp", "AMQP (RabbitMQ)"),
                    ("pagerduty", "PagerDuty"),
                    ("console", "Ops console"),
                ],
                default="webhook",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="endpoint",
            name="url",
            field=models.CharField(
                blank=True, help_text="For webhooks; other channels have settings.", max_length=2000
            ),
        ),
    ]
