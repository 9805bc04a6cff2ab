from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from eventcenter.row_security import protect_by_tenant, unprotect

TABLE = "subscriptions_appliedspec"


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0003_sign_in_identity"),
        ("eventcenter", "0004_row_security"),
    ]

    operations = [
        migrations.CreateModel(
            name="AppliedSpec",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("tenant", "Tenant"), ("endpoint", "Endpoint"), ("subscription", "Subscription")],
                        max_length=20,
                    ),
                ),
                ("slug", models.CharField(max_length=63)),
                ("values", models.JSONField(default=dict, help_text="By the file's keys; of secrets the names only.")),
                ("removed", models.BooleanField(default=False, help_text="The file has stopped naming it.")),
                ("applied_at", models.DateTimeField(auto_now=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="subscriptions.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "kind", "slug"), name="applied_spec_once_a_row")
                ],
            },
        ),
        migrations.RunSQL(protect_by_tenant(TABLE), unprotect(TABLE)),
    ]
