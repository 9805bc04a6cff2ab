"""An endpoint's signing secrets: ages, rotation, revocation. A secret is in the one answer that made it."""

from __future__ import annotations

from http import HTTPStatus

from django.http import Http404
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.operation import operation
from eventcenter.problems import Problem
from subscriptions.api.endpoint_shapes import NewSecretAnswer, SecretsAnswer
from subscriptions.api.endpoints import EndpointApi
from subscriptions.channels.registry import is_signed
from subscriptions.models import Endpoint
from subscriptions.services import SecretKeptError, revoke_secret, rotate_secret


def _secrets(endpoint: Endpoint) -> Response:
    now = timezone.now()
    rows = endpoint.secrets.order_by("-created_at", "-id")
    items = [
        {
            "id": row.pk,
            "created_at": row.created_at,
            "signing": row.signing,
            "public_key": row.public_key,
            "age_days": (now - row.created_at).days,
            "expires_at": row.expires_at,
            "signs": row.expires_at is None or row.expires_at > now,
        }
        for row in rows
    ]
    return Response(SecretsAnswer({"items": items}).data)


class SecretList(EndpointApi):
    @operation("list_secrets", Permission.VIEW, answer=SecretsAnswer)
    def get(self, request: Request, pk: int) -> Response:
        return _secrets(self.endpoint(pk))


class SecretRotate(EndpointApi):
    @operation(
        "rotate_secret",
        Permission.ADMINISTER,
        answer=NewSecretAnswer,
        status=HTTPStatus.CREATED,
        refusals=(409,),
    )
    def post(self, request: Request, pk: int) -> Response:
        """The old one signs along for 24 hours."""
        endpoint = self.endpoint(pk)
        if not is_signed(endpoint):
            raise Problem(HTTPStatus.CONFLICT, "not-possible", "Its channel has no signing secrets.")
        secret = rotate_secret(endpoint, self.principal.actor)
        return Response({"secret": secret}, status=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})


class SecretRevoke(EndpointApi):
    @operation("revoke_secret", Permission.ADMINISTER, answer=SecretsAnswer, refusals=(409,))
    def post(self, request: Request, pk: int, secret_id: int) -> Response:
        """It signs no more, from now on. The last one that goes on signing cannot be revoked: rotate first."""
        endpoint = self.endpoint(pk)
        if not endpoint.secrets.filter(pk=secret_id).exists():
            raise Http404
        try:
            revoke_secret(endpoint, secret_id, self.principal.actor)
        except SecretKeptError as error:
            raise Problem(HTTPStatus.CONFLICT, "not-possible", str(error)) from None
        return _secrets(endpoint)
