from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince

from subscriptions.models import Endpoint, EndpointSecret

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[EndpointSecret, Endpoint]
else:
    TabularInline = admin.TabularInline


class SecretInline(TabularInline):
    """Ages, never values."""

    model = EndpointSecret
    fields: ClassVar = ("age", "state")
    readonly_fields = ("age", "state")
    ordering = ("-created_at", "-id")
    extra = 0
    verbose_name_plural = "signing secrets"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Age")
    def age(self, secret: EndpointSecret) -> str:
        return timesince(secret.created_at)

    @admin.display(description="Signs")
    def state(self, secret: EndpointSecret) -> str:
        if secret.expires_at is None:
            return "until it is rotated"
        over = secret.expires_at <= timezone.now()
        return "no longer" if over else f"until {secret.expires_at:%Y-%m-%d %H:%M} UTC"
