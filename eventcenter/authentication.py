"""Publishers sign their calls as webhooks are signed: Standard Webhooks headers, and x-publish-key names the key."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from http import HTTPStatus

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from eventcenter import refusals, row_security
from eventcenter.models import PublishKey
from eventcenter.problems import Problem
from eventcenter.publish_keys import verifying_secrets
from eventcenter.refusals import RefusalReason
from eventcenter.standardwebhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    VerificationError,
    verify,
)

logger = logging.getLogger(__name__)

SIGNING_HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
USED_NOTED_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Publisher:
    """The authenticated caller of the publish API: DRF's `request.user` there."""

    key_id: str
    tenant_id: int
    tenant: str
    is_authenticated: bool = True

    def __str__(self) -> str:
        return f"key:{self.key_id}"


class PublishSignature(BaseAuthentication):
    """Raises Problem 401 for every kind of refusal; which one it was is logged, counted and told, but never the secret's side.

    A secret that cannot be opened is no refusal: UnsealError, which the API answers with 503.
    """

    def authenticate(self, request: Request) -> tuple[Publisher, None]:
        key = self._key(request.headers.get("x-publish-key", ""))
        secrets = verifying_secrets(key, timezone.now())
        try:
            msg_id, timestamp, signature = (request.headers.get(name) for name in SIGNING_HEADERS)
            verify(secrets, msg_id, timestamp, signature, request.body, now=time.time())
        except VerificationError as error:
            logger.warning("publish.signature_refused", extra={"key_id": key.key_id, "fault": error.fault.value})
            refusals.count(refusals.BY_FAULT[error.fault], key.tenant_id)
            raise _refusal(str(error)) from None
        self._note_use(key)
        row_security.narrow({key.tenant_id})
        return Publisher(key.key_id, key.tenant_id, key.tenant.slug), None

    def authenticate_header(self, request: Request) -> str:
        return "StandardWebhooks"

    def _key(self, key_id: str) -> PublishKey:
        if not key_id:
            refusals.count(RefusalReason.MISSING)
            raise _refusal("The header x-publish-key is missing; it takes the public id of a publish key (pk_…).")
        known = PublishKey.objects.select_related("tenant").filter(key_id=key_id, active=True, tenant__active=True)
        with row_security.unscoped():
            key = known.first() if key_id.isprintable() else None  # PostgreSQL takes no NUL
        if key is None:
            logger.warning("publish.key_refused", extra={"key_id": key_id[:40]})
            refusals.count(RefusalReason.UNKNOWN_KEY)
            raise _refusal("The key in x-publish-key is not known or not active.")
        return key

    def _note_use(self, key: PublishKey) -> None:
        now = timezone.now()
        if key.last_used_at is None or (now - key.last_used_at).total_seconds() > USED_NOTED_EVERY_S:
            with row_security.unscoped():
                PublishKey.objects.filter(pk=key.pk).update(last_used_at=now)


def _refusal(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail)
