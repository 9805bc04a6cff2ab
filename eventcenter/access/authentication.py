"""How the REST API learns who is asking: an API key, a publish key's signature, or a signed-in person."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from eventcenter.access import keys
from eventcenter.access.models import ApiKey
from eventcenter.access.principal import Principal, keep, principal_of
from eventcenter.access.roles import KEY_SCOPES, Permission
from eventcenter.authentication import Publisher, PublishSignature
from eventcenter.problems import Problem

logger = logging.getLogger(__name__)

BEARER = "bearer"
CHALLENGE = 'Bearer realm="Event Center"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer ak_….<secret>` (RFC 6750); `request.auth` is the key.

    Raises Problem 401 for a key that is not, or no longer, usable.
    """

    def authenticate(self, request: Request) -> tuple[Principal, ApiKey] | None:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != BEARER:
            return None
        key = keys.find(text.strip(), timezone.now())
        if key is None:
            logger.warning("api.key_refused", extra={"key_id": text.partition(".")[0][:40]})
            raise _refusal()
        principal = principal_of_key(key, str(request.META.get("REMOTE_ADDR", "")))
        keep(request._request, principal)
        return principal, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class PersonSession(SessionAuthentication):
    """A signed-in person, with the CSRF token where something is changed."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        found = super().authenticate(request)
        return None if found is None else (principal_of(request._request), None)


class AnyIdentity(BaseAuthentication):
    """The first of: an API key, a publish key's signature, a session. A call that names a key is judged by it alone."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if "x-publish-key" in request.headers:
            return PublishSignature().authenticate(request)
        return ApiKeyAuthentication().authenticate(request) or PersonSession().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class PublishIdentity(BaseAuthentication):
    """Programs only: a publish key's signature, or an API key. Without either the answer asks for the signature."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        if "x-publish-key" in request.headers:
            return PublishSignature().authenticate(request)
        return ApiKeyAuthentication().authenticate(request) or PublishSignature().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return "StandardWebhooks"


def publisher(request: Request, permission: Permission) -> Publisher:
    """The publish API's caller, whichever way it proved who it is. Raises Problem 403."""
    identity: object = request.user
    match identity:
        case Publisher() as signed:
            return signed
        case Principal() as principal:
            key: object = request.auth
            assert isinstance(key, ApiKey)
            if not principal.may(permission, key.tenant_id):
                detail = f"This takes the scope {permission.value!r}."
                raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)
            return Publisher(key.key_id, key.tenant_id, key.tenant.slug)
    raise AssertionError("PublishIdentity lets in nobody else")


def principal_of_key(key: ApiKey, address: str) -> Principal:
    """With its creator's id: where two persons are needed, the key counts as that one."""
    grants = {key.tenant_id: frozenset(Permission(scope) for scope in key.scopes if scope in KEY_SCOPES)}
    return Principal(f"key:{key.key_id}", address, key.created_by_id, by_tenant=grants, is_person=False)


def _refusal() -> Problem:
    detail = "The API key is not known, has expired or was revoked."
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": CHALLENGE})


# What the API's document says. OpenAPI has no word for the other three headers of a signature.
API_KEY_SCHEME = {"type": "http", "scheme": "bearer", "description": "An API key of one tenant, with scopes."}
PUBLISH_KEY_SCHEME = {
    "type": "apiKey",
    "in": "header",
    "name": "x-publish-key",
    "description": "With webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks) over the body.",
}


class PublishSignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = PublishSignature
    name = "publishSignature"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return PUBLISH_KEY_SCHEME


class PublishIdentityScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = PublishIdentity
    name = ["apiKey", "publishKey"]  # noqa: RUF012 - the base's way to name several

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{"apiKey": [Permission.PUBLISH.value]}, {"publishKey": []}]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return []  # AnyIdentity's


class AnyIdentityScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = AnyIdentity
    name = ["apiKey", "publishKey", "session"]  # noqa: RUF012 - the base's way to name several

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # any one of them

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        session = {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
        return [API_KEY_SCHEME, PUBLISH_KEY_SCHEME, session]
