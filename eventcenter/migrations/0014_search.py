from __future__ import annotations

from django.db import migrations, models

# Partitioned tables: each day gets its own. What they cost and why there are no more: docs/adr/0027.
# Both are asked for equality alone: what row-level security lets use an index.
INDEXES_SQL = """
CREATE INDEX eventcenter_event_release ON eventcenter_event (subject text_pattern_ops, version);
CREATE INDEX eventcenter_event_trace ON eventcenter_event USING hash (trace);
"""
INDEXES_REVERSE = "DROP INDEX eventcenter_event_release; DROP INDEX eventcenter_event_trace;"


class Migration(migrations.Migration):
    dependencies = [
        ("eventcenter", "0012_event_tracestate"),
    ]

    operations = [
        # Constant defaults: PostgreSQL rewrites no row of any day. Kept in the database, for those who write the old way.
        migrations.AddField(
            model_name="event",
            name="version",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="The release's, from the data; empty without one, and on older rows.",
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="trace",
            field=models.UUIDField(
                null=True, help_text="The traceparent's trace id, to be found by; none on older rows."
            ),
        ),
        migrations.RunSQL(INDEXES_SQL, INDEXES_REVERSE),
    ]
