from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

# Lists of one tenant's are read newest first, and most tenants have few among many.
INDEX_SQL = """
CREATE INDEX eventcenter_rejectedevent_tenant ON eventcenter_rejectedevent (tenant_slug, id DESC);
"""
INDEX_REVERSE = "DROP INDEX eventcenter_rejectedevent_tenant;"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventcenter", "0012_event_tracestate")]
    operations: ClassVar = [
        # Constant defaults: PostgreSQL rewrites no row of any day.
        migrations.AddField("rejectedevent", "reingested_at", models.DateTimeField(editable=False, null=True)),
        migrations.AddField(
            "rejectedevent", "reingested_by", models.TextField(db_default="", default="", editable=False)
        ),
        migrations.AddField(
            "rejectedevent",
            "reingested_as",
            models.UUIDField(editable=False, help_text="The event's id.", null=True),
        ),
        migrations.AddField(
            "rejectedevent",
            "reingested_duplicate",
            models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunSQL(INDEX_SQL, INDEX_REVERSE),
    ]
