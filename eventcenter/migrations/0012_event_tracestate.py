from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("eventcenter", "0011_publish_refusals"),
    ]

    operations = [
        # A constant default: PostgreSQL rewrites no row of any day. Kept in the database, for those who write the old way.
        migrations.AddField(
            model_name="event",
            name="tracestate",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="W3C, as the producer gave it and as it is passed on; empty in most cases.",
            ),
        ),
    ]
