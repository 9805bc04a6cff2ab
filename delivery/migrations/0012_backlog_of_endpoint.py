from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

# What waits for an endpoint, retries and held ones alike, and since when. due_at is in an index and its predicate already
# (delivery_delivery_due): a delivery that succeeds at once touches neither, and remains HOT.
BACKLOG_SQL = """
CREATE INDEX delivery_delivery_backlog ON delivery_delivery (endpoint_id, due_at) WHERE due_at IS NOT NULL;
"""
BACKLOG_REVERSE = "DROP INDEX delivery_delivery_backlog;"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("delivery", "0011_console_indexes")]
    operations: ClassVar = [
        migrations.RunSQL(BACKLOG_SQL, BACKLOG_REVERSE),
        migrations.AddIndex(
            model_name="ordereddelivery",
            index=models.Index(fields=["subscription_id", "seq"], name="ordered_delivery_of"),
        ),
    ]
