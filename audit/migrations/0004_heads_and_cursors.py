from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0003_append_functions")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("chain", models.CharField(max_length=63, primary_key=True, serialize=False)),
                ("position", models.BigIntegerField()),
                ("digest", models.BinaryField(max_length=32)),
                ("at", models.DateTimeField()),
                ("key_id", models.TextField()),
                ("signature", models.BinaryField(max_length=64)),
                ("sent_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="StreamCursor",
            fields=[
                ("chain", models.CharField(max_length=63, primary_key=True, serialize=False)),
                ("position", models.BigIntegerField(default=0)),
            ],
        ),
    ]
