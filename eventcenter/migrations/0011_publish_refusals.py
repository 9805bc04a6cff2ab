from __future__ import annotations

from django.db import migrations, models

from eventcenter.row_security import protect_by_tenant, unprotect

TABLE = "eventcenter_publishrefusalcounter"


class Migration(migrations.Migration):
    dependencies = [
        ("eventcenter", "0010_data_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="PublishRefusalCounter",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "minute",
                        "tenant_id",
                        "reason",
                        "shard",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("tenant_id", models.BigIntegerField()),
                ("reason", models.TextField()),
                ("shard", models.SmallIntegerField()),
                ("count", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunSQL(protect_by_tenant(TABLE), unprotect(TABLE)),
    ]
