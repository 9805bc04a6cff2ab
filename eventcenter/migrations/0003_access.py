from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

ROLE_OF_STAFF = "operator"


def give_staff_a_role(apps, schema_editor):
    """Until here every member of staff saw and replayed everything."""
    User = apps.get_model(*settings.AUTH_USER_MODEL.split("."))
    Membership = apps.get_model("eventcenter", "Membership")
    staff = User.objects.filter(is_staff=True, is_active=True, is_superuser=False)
    Membership.objects.bulk_create(
        Membership(user=user, tenant=None, role=ROLE_OF_STAFF, granted_by="system:migration") for user in staff
    )


class Migration(migrations.Migration):
    dependencies = [
        ("eventcenter", "0002_outbox_key"),
        ("subscriptions", "0002_governance"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key_id",
                    models.CharField(
                        editable=False, help_text="The part that may be shown: ak_…", max_length=40, unique=True
                    ),
                ),
                ("name", models.CharField(help_text="What uses it.", max_length=100)),
                ("digest", models.BinaryField(help_text="SHA-256 of the secret part.", max_length=32)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        help_text="eventcenter.access.roles.KEY_SCOPES",
                        size=None,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField(blank=True, help_text="Empty: until it is revoked.", null=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="api_keys", to="subscriptions.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "ordering": ["tenant__slug", "key_id"],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("viewer", "Viewer"),
                            ("operator", "Operator"),
                            ("approver", "Approver"),
                            ("tenant_admin", "Tenant admin"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "granted_by",
                    models.CharField(
                        blank=True, editable=False, help_text="user:NAME or system:PROCESS.", max_length=200
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: a platform role, for all tenants.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="subscriptions.tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["user__username", "tenant__slug", "role"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "tenant", "role"), name="membership_once_a_role", nulls_distinct=False
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["viewer", "operator", "approver", "tenant_admin"])),
                        name="membership_role_known",
                    ),
                ],
            },
        ),
        migrations.RunPython(give_staff_a_role, migrations.RunPython.noop),
    ]
