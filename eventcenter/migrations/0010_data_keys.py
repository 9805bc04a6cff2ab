from __future__ import annotations

import django.db.models.functions.datetime
from django.db import migrations, models

from eventcenter.row_security import WEB_ROLE


class Migration(migrations.Migration):
    dependencies = [
        ("eventcenter", "0009_audit_by_function"),
    ]

    operations = [
        migrations.CreateModel(
            name="DataKey",
            fields=[
                (
                    "id",
                    models.CharField(
                        help_text="Stands at the head of each value it sealed.",
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("master_key_id", models.TextField(help_text="The name in ENCRYPTION_KEYS of the key that wraps it.")),
                ("wrapped", models.BinaryField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("retired_at", models.DateTimeField(blank=True, help_text="Seals nothing since then.", null=True)),
            ],
        ),
        # Web processes seal and open; what changes a data key is the command of the owner.
        migrations.RunSQL(f"REVOKE UPDATE, DELETE ON eventcenter_datakey FROM {WEB_ROLE}", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="publishkey",
            name="previous_expires_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="publishkey",
            name="reminded_days",
            field=models.SmallIntegerField(
                editable=False,
                help_text="The last reminder that it is due: so many days before; 0: overdue.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="publishkey",
            name="sealed_previous_secret",
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name="publishkey",
            name="secret_created_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
        ),
        # What is there has the secret that it was made with.
        migrations.RunSQL("UPDATE eventcenter_publishkey SET secret_created_at = created_at", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="publishkey",
            index=models.Index(
                condition=models.Q(("reminded_days__isnull", False)), fields=["tenant"], name="publish_key_reminded"
            ),
        ),
    ]
