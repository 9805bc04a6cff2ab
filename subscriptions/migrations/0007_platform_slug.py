from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0006_seal_hook_urls"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("slug", "platform"), _negated=True),
                name="tenant_slug_not_the_platforms",
                violation_error_message="“platform” is the platform's own name; take another slug.",
            ),
        ),
    ]
