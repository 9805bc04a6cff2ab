from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0004_heads_and_cursors")]

    operations: ClassVar = [
        migrations.AddIndex(
            model_name="auditentry", index=models.Index(fields=["chain", "id"], name="audit_entry_chain_id")
        ),
        migrations.AddIndex(
            model_name="auditentry", index=models.Index(fields=["actor", "id"], name="audit_entry_actor_id")
        ),
        migrations.AddIndex(
            model_name="auditentry", index=models.Index(fields=["action", "id"], name="audit_entry_action_id")
        ),
        migrations.AddIndex(
            model_name="auditentry", index=models.Index(fields=["target", "id"], name="audit_entry_target_id")
        ),
        migrations.AddIndex(model_name="auditentry", index=models.Index(fields=["at"], name="audit_entry_at")),
    ]
