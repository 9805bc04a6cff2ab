from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from eventcenter.row_security import WEB_ROLE

# Counts of all tenants' endpoints, which no page shows.
HIDE = f"REVOKE ALL ON delivery_telemetrycursor FROM {WEB_ROLE}"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("delivery", "0008_what_is_counted")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="TelemetryCursor",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("totals", models.JSONField(default=dict)),
            ],
        ),
        migrations.RunSQL(HIDE, migrations.RunSQL.noop),
    ]
