from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import eventcenter.ids
from eventcenter.row_security import protect_by_tenant, unprotect

TABLES = (
    "delivery_approval",
    "delivery_escalation",
    "delivery_workorder",
    "delivery_workordercomment",
    "delivery_workorderlink",
)

# Comments are for ever; with their tenant they may go.
COMMENTS_SQL = """
CREATE FUNCTION delivery_refuse_comment_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'comments are append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER comment_append_only BEFORE UPDATE ON delivery_workordercomment
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_refuse_comment_change();
"""
COMMENTS_REVERSE = """
DROP TRIGGER comment_append_only ON delivery_workordercomment;
DROP FUNCTION delivery_refuse_comment_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("delivery", "0005_row_security"),
        ("subscriptions", "0008_approvals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="replayjob",
            name="approved",
            field=models.BooleanField(
                default=False,
                help_text="A second person agreed: it may take many, and deliveries that called somebody.",
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="noticed_at",
            field=models.DateTimeField(
                blank=True, help_text="When the sweep looked whether a work order is to be opened.", null=True
            ),
        ),
        migrations.CreateModel(
            name="WorkOrder",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("title", models.TextField()),
                ("body", models.TextField(blank=True, default="")),
                (
                    "severity",
                    models.TextField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], default="warning"
                    ),
                ),
                (
                    "state",
                    models.TextField(
                        choices=[("open", "Open"), ("in_progress", "In progress"), ("closed", "Closed")], default="open"
                    ),
                ),
                ("opened_by", models.TextField()),
                (
                    "origin",
                    models.TextField(
                        choices=[
                            ("hand", "By hand"),
                            ("delivery", "From a delivery"),
                            ("alert", "From an alert"),
                            ("rule", "By rule"),
                        ],
                        default="hand",
                    ),
                ),
                ("cause", models.TextField(blank=True, default="")),
                ("opened_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "outcome",
                    models.TextField(
                        blank=True,
                        choices=[
                            ("fixed_by_them", "Fixed by the receiver"),
                            ("fixed_by_us", "Fixed by us"),
                            ("replayed", "Replayed"),
                            ("not_needed", "Nothing was needed"),
                            ("duplicate", "Duplicate of another one"),
                        ],
                        default="",
                    ),
                ),
                ("outcome_text", models.TextField(blank=True, default="")),
                (
                    "assignee",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="work_orders",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="work_orders",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="WorkOrderComment",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("author", models.TextField()),
                ("text", models.TextField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="subscriptions.tenant"
                    ),
                ),
                (
                    "work_order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="comments", to="delivery.workorder"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="WorkOrderLink",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("delivery", "Delivery"),
                            ("replay", "Replay"),
                            ("approval", "Approval"),
                            ("alert", "Alert"),
                        ]
                    ),
                ),
                ("target_id", models.UUIDField()),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="subscriptions.tenant"
                    ),
                ),
                (
                    "work_order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="links", to="delivery.workorder"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.UUIDField(default=eventcenter.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("delivery.replay", "Replay a delivery"),
                            ("delivery.pass_over", "Pass over a delivery"),
                            ("replay.start", "Start a replay"),
                            ("endpoint.resume", "Enable an endpoint again"),
                        ]
                    ),
                ),
                ("target", models.TextField()),
                ("arguments", models.JSONField(default=dict)),
                ("summary", models.TextField(help_text="What will be done, and why it needs a second person.")),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("requested", "Waiting"),
                            ("approved", "Approved"),
                            ("failed", "Not possible"),
                            ("rejected", "Rejected"),
                            ("expired", "Expired"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="requested",
                    ),
                ),
                ("reason", models.TextField(help_text="Of who asked.")),
                ("requested_by", models.TextField()),
                ("requested_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
                ("decided_by", models.TextField(blank=True, default="")),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_reason", models.TextField(blank=True, default="")),
                ("outcome", models.TextField(blank=True, default="", help_text="What came of it.")),
                (
                    "decided_by_user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by_user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="subscriptions.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="approval_tenant"),
                    models.Index(fields=["target"], name="approval_target"),
                    models.Index(
                        condition=models.Q(("state", "requested")), fields=["expires_at"], name="approval_waiting"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ["delivery.replay", "delivery.pass_over", "replay.start", "endpoint.resume"])
                        ),
                        name="approval_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["requested", "approved", "failed", "rejected", "expired", "withdrawn"])
                        ),
                        name="approval_state_known",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "requested")),
                        fields=("kind", "target"),
                        name="approval_asked_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Escalation",
            fields=[
                ("delivery_id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("endpoint_id", models.BigIntegerField()),
                ("replays", models.SmallIntegerField()),
                (
                    "cause",
                    models.TextField(choices=[("paged", "Paged"), ("alert", "Open alert"), ("rule", "Paging rule")]),
                ),
                ("at", models.DateTimeField()),
                ("noticed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="subscriptions.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("noticed_at", None)), fields=["endpoint_id"], name="escalation_unnoticed"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("cause__in", ["paged", "alert", "rule"])), name="escalation_cause_known"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="workorder",
            index=models.Index(fields=["tenant", "-id"], name="work_order_tenant"),
        ),
        migrations.AddConstraint(
            model_name="workorder",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "in_progress", "closed"])), name="work_order_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="workorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("outcome__in", ["fixed_by_them", "fixed_by_us", "replayed", "not_needed", "duplicate"]),
                        ("state", "closed"),
                    ),
                    models.Q(models.Q(("state", "closed"), _negated=True), ("outcome", "")),
                    _connector="OR",
                ),
                name="work_order_closed_with_outcome",
            ),
        ),
        migrations.AddConstraint(
            model_name="workorder",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    models.Q(("cause", ""), _negated=True), models.Q(("state", "closed"), _negated=True)
                ),
                fields=("cause",),
                name="work_order_open_once_a_cause",
            ),
        ),
        migrations.AddIndex(
            model_name="workorderlink",
            index=models.Index(fields=["target_id"], name="work_order_link_target"),
        ),
        migrations.AddConstraint(
            model_name="workorderlink",
            constraint=models.UniqueConstraint(
                fields=("work_order", "kind", "target_id"), name="work_order_linked_once"
            ),
        ),
        migrations.RunSQL(COMMENTS_SQL, COMMENTS_REVERSE),
        *[migrations.RunSQL(protect_by_tenant(table), unprotect(table)) for table in TABLES],
    ]
