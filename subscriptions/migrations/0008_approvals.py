from __future__ import annotations

from django.db import migrations, models

# Until now the reason alone said that the system had disabled it (delivery.health.endpoints).
BY_SYSTEM_SQL = """
UPDATE subscriptions_endpoint SET disabled_by_system = true
WHERE state = 'disabled' AND (state_reason = 'The receiver answered 410 Gone.' OR state_reason LIKE 'It took nothing from %');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("subscriptions", "0007_platform_slug"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="disabled_by_system",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="410, or days of failure: a second person must approve its return.",
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="approval_replay_count",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="A replay of more deliveries needs an approval; empty: the platform's number.",
                null=True,
            ),
        ),
        migrations.RunSQL(BY_SYSTEM_SQL, migrations.RunSQL.noop),
    ]
