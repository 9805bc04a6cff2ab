from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations

# Name, everyone (None: the listed tenants), note.
ROWS = (
    ("event-bus-v2", True, "Subscribers get CloudEvents; off: the v1 JSON envelope."),
    ("plugin-release-webhook", True, "A forge's release webhooks are taken."),
    ("audit-streaming", None, "Audit entries go to a Kafka topic."),
)


def make(apps: Any, schema_editor: Any) -> None:
    flags = apps.get_model("eventcenter", "FeatureFlag").objects
    for name, everyone, note in ROWS:
        flags.get_or_create(name=name, defaults={"everyone": everyone, "note": note, "superusers": False})


class Migration(migrations.Migration):
    dependencies: ClassVar = [("eventcenter", "0005_feature_flags")]
    operations: ClassVar = [migrations.RunPython(make, migrations.RunPython.noop)]
