"""People's roles and programs' keys. Imported by eventcenter.models, which Django reads."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from eventcenter.access.roles import Role


class Membership(models.Model):
    """One role of one person in one tenant; without a tenant it is a platform role, which holds in all of them."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    tenant = models.ForeignKey(
        "subscriptions.Tenant",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="memberships",
        help_text="Empty: a platform role, for all tenants.",
    )
    role = models.CharField(max_length=20, choices=Role.choices)
    granted_by = models.CharField(max_length=200, blank=True, editable=False, help_text="user:NAME or system:PROCESS.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["user__username", "tenant__slug", "role"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "tenant", "role"], nulls_distinct=False, name="membership_once_a_role"
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.role} in {self.tenant or 'all tenants'}"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, now: datetime) -> ApiKeyQuerySet:
        """Not expired, not revoked, and not of somebody whose account was closed."""
        lasting = self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), revoked_at=None)
        return lasting.filter(models.Q(created_by=None) | models.Q(created_by__is_active=True))


class ApiKey(models.Model):
    """A program's way into the REST API of one tenant. Of its text only a digest is kept: it is shown once."""

    key_id = models.CharField(max_length=40, unique=True, editable=False, help_text="The part that may be shown: ak_…")
    tenant = models.ForeignKey("subscriptions.Tenant", models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="What uses it.")
    digest = models.BinaryField(max_length=32, editable=False, help_text="SHA-256 of the secret part.")
    scopes = ArrayField(models.CharField(max_length=20), help_text="eventcenter.access.roles.KEY_SCOPES")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is revoked.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["tenant__slug", "key_id"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.key_id} ({self.name})"
