from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventcenter", "0015_heads_can_be_read")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="heartbeat",
            name="since",
            field=models.DateTimeField(db_default=Now(), help_text="Since when it beats without a silence."),
        ),
    ]
