from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("delivery", "0009_telemetry_cursor")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="delivery",
            name="cancelled_at",
            field=models.DateTimeField(
                help_text="By hand, before it ended; empty again once it is replayed.", null=True
            ),
        ),
        migrations.AddField(
            model_name="replayjob",
            name="action",
            field=models.TextField(
                choices=[("replay", "Replay"), ("cancel", "Cancel")], db_default="replay", default="replay"
            ),
        ),
        migrations.AddConstraint(
            model_name="replayjob",
            constraint=models.CheckConstraint(
                condition=models.Q(("action__in", ["replay", "cancel"])), name="replay_action_known"
            ),
        ),
    ]
