from __future__ import annotations

import django.contrib.postgres.fields
from django.db import migrations, models
from django.db.models.functions import Now

# Attempts from before have no such time: they are not said to have been recorded by the migration.
RECORDED_SQL = """
ALTER TABLE delivery_attempt ADD COLUMN recorded_at timestamptz;
ALTER TABLE delivery_attempt ALTER COLUMN recorded_at SET DEFAULT now();
"""
RECORDED_REVERSE = "ALTER TABLE delivery_attempt DROP COLUMN recorded_at;"
# New columns without a rewrite: an instant, once the tables' locks are had. Deliveries queue behind a migration that waits for
# them, so behind somebody's long transaction this one gives up and is run again.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0007_telemetry_and_alerting"),
    ]

    operations = [
        migrations.RunSQL(LOCK_TIMEOUT, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="dispatch",
            name="lost_tokens",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.IntegerField(),
                db_default=[],
                default=list,
                help_text="Of workers that had claimed it and went silent.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="dispatch",
            name="lost_workers",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                db_default=[],
                default=list,
                help_text="Those workers, in that order.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="earlier_deaths",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.DateTimeField(),
                help_text="When rounds ended as dead that were replayed since.",
                null=True,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="latency_ms",
            field=models.FloatField(help_text="From the event's acceptance to the 2xx, in the first round.", null=True),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(RECORDED_SQL, RECORDED_REVERSE)],
            state_operations=[
                migrations.AddField(
                    model_name="attempt",
                    name="recorded_at",
                    field=models.DateTimeField(
                        db_default=Now(), help_text="The minute in which it is counted.", null=True
                    ),
                ),
            ],
        ),
        *[
            migrations.AlterField(
                model_name=name,
                name="latency_ms_sum",
                field=models.FloatField(
                    default=0, help_text="Of whole milliseconds: exact, in whatever order they are added."
                ),
            )
            for name in ("deliverycounter", "deliveryhour")
        ],
        migrations.RemoveIndex(model_name="duplicatesend", name="duplicate_send_delivery"),
        migrations.AddField(
            model_name="duplicatesend",
            name="dispatch_id",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="duplicatesend",
            name="token",
            field=models.IntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="duplicatesend",
            name="worker",
            field=models.TextField(default="", help_text="Who lost the dispatch under that token."),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="duplicatesend",
            constraint=models.UniqueConstraint(
                fields=("delivery_id", "dispatch_id", "token"), name="duplicate_send_once"
            ),
        ),
        migrations.AddIndex(model_name="duplicatesend", index=models.Index(fields=["at"], name="duplicate_send_at")),
        migrations.AddIndex(
            model_name="duplicatesend",
            index=models.Index(fields=["worker", "endpoint_id", "at"], name="duplicate_send_of"),
        ),
    ]
