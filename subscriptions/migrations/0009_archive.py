from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models

HELP = "Deleted then: gone from every list, but for the names of old deliveries."
MODELS = ("endpoint", "subscription")


def _constraint(model: str, **more: Any) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=["tenant", "slug"], name=f"{model}_slug_once_a_tenant", **more)


class Migration(migrations.Migration):
    """A deleted row's slug is free again. Backwards this fails where one was given a second time: rename that first."""

    dependencies: ClassVar = [("subscriptions", "0008_approvals")]
    operations: ClassVar = [
        *[migrations.RemoveConstraint(model, f"{model}_slug_once_a_tenant") for model in MODELS],
        *[
            migrations.AddField(model, "archived_at", models.DateTimeField(null=True, editable=False, help_text=HELP))
            for model in MODELS
        ],
        *[
            migrations.AddConstraint(model, _constraint(model, condition=models.Q(archived_at=None)))
            for model in MODELS
        ],
    ]
