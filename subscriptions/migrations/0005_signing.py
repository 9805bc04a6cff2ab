from __future__ import annotations

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0004_applied_spec"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="rotate_every_days",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="When its signing secret is due for rotation; empty: the system's default.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3650),
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="signing",
            field=models.CharField(
                choices=[
                    ("v1", "HMAC-SHA256 (v1), one shared secret"),
                    ("v1a", "ed25519 (v1a), the receiver holds a public key"),
                ],
                default="v1",
                help_text="How new secrets sign. The one before signs along for a day.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="endpointsecret",
            name="public_key",
            field=models.CharField(blank=True, help_text="whpk_…, of the ed25519 kind.", max_length=100),
        ),
        migrations.AddField(
            model_name="endpointsecret",
            name="reminded_days",
            field=models.SmallIntegerField(
                editable=False,
                help_text="The last reminder that it is due: so many days before; 0: overdue.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="endpointsecret",
            name="signing",
            field=models.CharField(
                choices=[
                    ("v1", "HMAC-SHA256 (v1), one shared secret"),
                    ("v1a", "ed25519 (v1a), the receiver holds a public key"),
                ],
                default="v1",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="endpointsecret",
            index=models.Index(
                condition=models.Q(("reminded_days__isnull", False)),
                fields=["endpoint"],
                name="endpoint_secret_reminded",
            ),
        ),
    ]
