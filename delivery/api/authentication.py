"""Who may call the replays API: a publish key for its own tenant, or a signed-in member of staff for all."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.audited_admin import actor_of
from audit.trail import Actor
from eventcenter.authentication import Publisher, PublishSignature


class KeyOrSession(BaseAuthentication):
    """A call that names a publish key is judged by its signature alone; every other by its session, with the CSRF token."""

    def authenticate(self, request: Request) -> tuple[object, object] | None:
        if "x-publish-key" in request.headers:
            return PublishSignature().authenticate(request)
        return SessionAuthentication().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return PublishSignature().authenticate_header(request)


# What the API's document says of a signature; OpenAPI has no word for the other three headers.
KEY_SCHEME = {
    "type": "apiKey",
    "in": "header",
    "name": "x-publish-key",
    "description": "With webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks) over the body.",
}


class KeyOrSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = KeyOrSession
    name = ["ownTenantKey", "staffSession"]  # noqa: RUF012 - the base's way to name two

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [KEY_SCHEME, {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}]


class KeyOrStaff(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Publisher) or bool(request.user and request.user.is_staff)


def publisher_of(request: Request) -> Publisher | None:
    """None: a member of staff."""
    return request.user if isinstance(request.user, Publisher) else None


def caller_of(request: Request) -> Actor:
    """For the trail."""
    publisher = publisher_of(request)
    if publisher is None:
        return actor_of(request._request)
    return Actor(str(publisher), request.META.get("REMOTE_ADDR", ""))
