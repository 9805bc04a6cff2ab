"""The publish URL: events, or the one call that replays an event."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api import publish_document as document
from delivery.api.intake import make_job
from delivery.approvals.service import of_target
from delivery.models import ApprovalKind
from delivery.replays.criteria import ENDED, Criteria
from delivery.replays.service import RATE_DEFAULT_PER_S
from eventcenter.access.authentication import publisher
from eventcenter.access.roles import Permission
from eventcenter.models import Event
from eventcenter.problems import FieldError, Problem
from eventcenter.views import PublishView

JSON_CONTENT_TYPE = "application/json"
SHAPE = '{"replay": {"event": "<the event\'s id>"}}'


class PublishOrReplayView(PublishView):
    """As PublishView; besides, application/json without ce- headers whose object has `replay` begins a replay."""

    @extend_schema(**document.PUBLISH)
    def post(self, request: Request) -> Response:
        asked = _replay_of(request)
        return super().post(request) if asked is None else _replay(request, _event_id(asked))


def _replay_of(request: Request) -> dict[str, object] | None:
    """The body when it is a replay's; None: it is for PublishView to take or to refuse."""
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type != JSON_CONTENT_TYPE or "ce-specversion" in request.headers:
        return None
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and "replay" in body else None


def _event_id(body: dict[str, object]) -> UUID:
    """Raises Problem 400 that names everything but the event's id."""
    replay = body["replay"]
    errors = [FieldError(name, f"is not known; takes {SHAPE}") for name in sorted(body.keys() - {"replay"})]
    if not isinstance(replay, dict):
        raise _wrong([*errors, FieldError("replay", f"must be an object; takes {SHAPE}")])
    errors += [
        FieldError(f"replay.{name}", f"is not known; takes {SHAPE}") for name in sorted(replay.keys() - {"event"})
    ]
    try:
        event_id = UUID(str(replay.get("event", "")))
    except ValueError:
        raise _wrong(
            [*errors, FieldError("replay.event", "must be the UUID that the answer to its publishing had")]
        ) from None
    if errors:
        raise _wrong(errors)
    return event_id


def _wrong(errors: list[FieldError]) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong; nothing is replayed.", errors)


def _replay(request: Request, event_id: UUID) -> Response:
    caller = publisher(request, Permission.REPLAY)
    if not Event.objects.filter(pk=event_id, tenant_id=caller.tenant_id).exists():
        detail = "The tenant has no such event, or its days of retention are over."
        raise Problem(HTTPStatus.NOT_FOUND, "not-found", detail, [FieldError("replay.event", "is not known")])
    criteria = Criteria(tenant_id=caller.tenant_id, event_id=event_id, statuses=ENDED)
    job = make_job(request, criteria, RATE_DEFAULT_PER_S, "", start=True)
    told: dict[str, object] = {"id": str(job.pk), "count": job.total}
    waits_for = of_target(ApprovalKind.REPLAY_START, f"replay:{job.pk}")
    if waits_for is not None:
        told["approval"] = str(waits_for.pk)
    return Response({"replay": told}, status=HTTPStatus.ACCEPTED)
