"""A publish key's signature is over the id, the time and the body, not over the URL: so that one made for one call is not
good for another, each is taken once where the body says nothing of what is meant."""

from __future__ import annotations

from http import HTTPStatus

from django.utils import timezone
from rest_framework.request import Request

from eventcenter.authentication import Publisher
from eventcenter.ids import new_id
from eventcenter.models import IdempotencyKey
from eventcenter.problems import FieldError, Problem
from eventcenter.publishing import key_digest
from eventcenter.standardwebhooks import ID_HEADER

# No key of an event can hold a NUL, so none can meet a call's.
KEY_SPACE = "\0call"


def take_once(request: Request) -> None:
    """For calls without a body. The webhook-id is kept as events' keys are, for longer than a signature is good.

    Raises Problem 400 for a body: what was signed for another call could be brought in with it. 401 for a second use.
    """
    publisher = request.user
    if not isinstance(publisher, Publisher):
        return
    if request.body:
        errors = [FieldError("body", "takes none")]
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "This call has no body.", errors)
    digest = key_digest(publisher.tenant + KEY_SPACE, request.headers[ID_HEADER])
    values = {"event_id": new_id(), "ingested_at": timezone.now()}
    _, first = IdempotencyKey.objects.get_or_create(digest=digest, defaults=values)
    if not first:
        detail = f"This {ID_HEADER} was used for a call already; sign each call with a new one."
        raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail)
