from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "chain",
                    models.CharField(
                        help_text="Tenant slug, or 'platform' for what belongs to no tenant.", max_length=63
                    ),
                ),
                ("position", models.BigIntegerField(help_text="1, 2, 3 … within the chain, without gaps.")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(help_text="user:NAME, key:ID or system:PROCESS.", max_length=200)),
                ("address", models.CharField(blank=True, help_text="Where the request came from.", max_length=64)),
                ("action", models.CharField(help_text="noun.verb, e.g. delivery.replayed", max_length=100)),
                ("target", models.CharField(help_text="noun:id of what was changed", max_length=200)),
                ("details", models.JSONField(default=dict, help_text="Before and after, without secrets.")),
                ("previous", models.BinaryField(max_length=32)),
                ("digest", models.BinaryField(max_length=32)),
                (
                    "actor_user",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "audit entries",
                "indexes": [models.Index(fields=["chain", "-at"], name="audit_entry_chain_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("chain", "position"), name="audit_entry_once_a_position")
                ],
            },
        ),
    ]
