from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince

from audit.audited_admin import actor_of
from subscriptions.models import Endpoint, EndpointSecret
from subscriptions.services import SecretKeptError, age_of, revoke_secret

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[EndpointSecret, Endpoint]
else:
    TabularInline = admin.TabularInline

REVOKE = "subscriptions_endpoint_revoke_secret"  # the page's name in the admin's addresses


class SecretInline(TabularInline):
    """Ages, never values; a public key is shown, since it is for everybody."""

    model = EndpointSecret
    fields: ClassVar = ("number", "age", "state", "due", "public_key", "revoke")
    readonly_fields = ("number", "age", "state", "due", "public_key", "revoke")
    ordering = ("-created_at", "-id")
    extra = 0
    verbose_name_plural = "signing secrets"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Secret")
    def number(self, secret: EndpointSecret) -> str:
        return f"{secret.pk} ({secret.signing})"

    @admin.display(description="Age")
    def age(self, secret: EndpointSecret) -> str:
        return timesince(secret.created_at)

    @admin.display(description="Signs")
    def state(self, secret: EndpointSecret) -> str:
        if secret.expires_at is None:
            return "until it is rotated"
        over = secret.expires_at <= timezone.now()
        return "no longer" if over else f"until {secret.expires_at:%Y-%m-%d %H:%M} UTC"

    @admin.display(description="Rotation")
    def due(self, secret: EndpointSecret) -> str:
        return age_of(secret).words(timezone.now()) if secret.expires_at is None else "–"

    @admin.display(description="Revoke")
    def revoke(self, secret: EndpointSecret) -> str:
        if secret.expires_at is not None and secret.expires_at <= timezone.now():
            return "–"
        page = reverse(f"admin:{REVOKE}", args=[secret.endpoint_id, secret.pk])
        return format_html('<a href="{}">Revoke…</a>', page)


def revoke_view(request: HttpRequest, endpoint_id: int, secret_id: int) -> HttpResponse:
    """GET asks, POST does."""
    secrets = EndpointSecret.objects.select_related("endpoint__tenant")
    secret = get_object_or_404(secrets, pk=secret_id, endpoint_id=endpoint_id)
    if not request.user.has_perm("subscriptions.change_endpoint", secret.endpoint):
        raise PermissionDenied
    if request.method == "POST":
        try:
            revoke_secret(secret.endpoint, secret_id, actor_of(request))
        except SecretKeptError as error:
            messages.error(request, f"Not revoked. {error}")
        else:
            messages.success(request, f"Secret {secret_id} signs no more.")
        return redirect("admin:subscriptions_endpoint_change", endpoint_id)
    title, opts = f"Revoke secret {secret_id}?", Endpoint._meta
    context = admin.site.each_context(request) | {"secret": secret, "title": title, "opts": opts}
    return TemplateResponse(request, "admin/subscriptions/endpoint/revoke_secret.html", context)
