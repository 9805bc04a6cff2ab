"""The replays API: create, list, look at, and move replay jobs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from delivery.api.authentication import KeyOrSession, KeyOrStaff, caller_of, publisher_of
from delivery.api.intake import make_job, read_criteria
from delivery.api.serializers import ReplayOptions, ReplayPage, ReplayPreview, ReplayRequest, ReplaySerializer
from delivery.approvals.service import of_target
from delivery.console.paging import Cursor, page_of
from delivery.models import ApprovalKind, ReplayJob, ReplayState
from delivery.replays import service
from delivery.replays.preview import sample
from eventcenter.intake import refuse_oversize
from eventcenter.problems import FieldError, Problem

REFUSALS = {
    400: OpenApiResponse(description="Fields are wrong; `errors` names each."),
    401: OpenApiResponse(description="Neither a valid signature nor a session."),
    403: OpenApiResponse(description="Another tenant than the publish key's, no staff, or no CSRF token."),
    404: OpenApiResponse(description="There is no such replay."),
    409: OpenApiResponse(description="Its state does not allow it, or a second person must; `detail` says why."),
}


def _refusals(*statuses: int) -> dict[int, OpenApiResponse]:
    return {status: REFUSALS[status] for status in statuses}


class ReplayApi(APIView):
    """Signed with a publish key for its own tenant, or with a staff session."""

    authentication_classes = (KeyOrSession,)
    permission_classes = (KeyOrStaff,)
    parser_classes = (JSONParser,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for the signature
        super().initial(request, *args, **kwargs)

    def jobs(self, request: Request) -> QuerySet[ReplayJob]:
        """Those that the caller may see."""
        publisher, jobs = publisher_of(request), ReplayJob.objects.select_related("tenant")
        return jobs.filter(tenant_id=publisher.tenant_id) if publisher else jobs

    def job(self, request: Request, replay_id: UUID) -> ReplayJob:
        """Raises Http404."""
        found = self.jobs(request).filter(pk=replay_id).first()
        if found is None:
            raise Http404
        return found


class ReplayList(ReplayApi):
    @extend_schema(
        operation_id="list_replays",
        parameters=[OpenApiParameter("before", OpenApiTypes.UUID, description="Older than this one.")],
        responses={200: ReplayPage, **_refusals(401, 403)},
    )
    def get(self, request: Request) -> Response:
        page = page_of(self.jobs(request), Cursor(before=Cursor.of(request._request.GET).before))
        items = ReplaySerializer(service.describe(page.rows), many=True).data
        return Response({"items": items, "next": page.older})

    @extend_schema(
        operation_id="create_replay", request=ReplayRequest, responses={201: ReplayPreview, **_refusals(400, 401, 403)}
    )
    def post(self, request: Request) -> Response:
        """Counts, and starts unless `dry_run`. One that needs a second person stays a draft and waits for its `approval`.
        A signed call that is repeated is answered with the job that it made."""
        data = _object(request.data)
        options = ReplayOptions(data=data)
        options.is_valid(raise_exception=True)
        given: dict[str, Any] = options.validated_data
        criteria = read_criteria({name: value for name, value in data.items() if name not in given}, request)
        job = make_job(request, criteria, given["rate_per_s"], given["reason"], start=not given["dry_run"])
        return Response(
            _preview(job), status=HTTPStatus.CREATED, headers={"Location": reverse("replay-api", args=[job.pk])}
        )


class ReplayDetail(ReplayApi):
    @extend_schema(operation_id="get_replay", responses={200: ReplayPreview, **_refusals(401, 403, 404)})
    def get(self, request: Request, replay_id: UUID) -> Response:
        return Response(_preview(self.job(request, replay_id)))


class ReplayAction(ReplayApi):
    @extend_schema(
        operation_id="move_replay",
        request=None,
        parameters=[OpenApiParameter("action", str, OpenApiParameter.PATH, enum=list(service.MOVES))],
        responses={200: ReplayPreview, **_refusals(401, 403, 404, 409)},
    )
    def post(self, request: Request, replay_id: UUID, action: str) -> Response:
        job = self.job(request, replay_id)
        if action not in service.MOVES:
            raise Http404
        needs = service.why_approval(job.pk) if action == "start" else ""
        if needs:
            raise Problem(HTTPStatus.CONFLICT, "approval-needed", f"{needs} Ask for it: POST …/approvals.")
        refusal = service.act(job.pk, action, caller_of(request))
        if refusal:
            raise Problem(HTTPStatus.CONFLICT, "not-possible", refusal)
        return Response(_preview(service.job_of(job.pk)))


def _object(data: object) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        message = "must be a JSON object"
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "The body is no object.", [FieldError("body", message)])
    return data


def _preview(job: ReplayJob) -> dict[str, Any]:
    [described] = service.describe([job])
    is_draft = job.state == ReplayState.DRAFT
    rows = sample(described.criteria, job.until) if is_draft else []
    context = {
        "sample": rows,
        "needs_approval": service.why_approval(job.pk) if is_draft else "",
        "approval": of_target(ApprovalKind.REPLAY_START, f"replay:{job.pk}"),
    }
    return dict(ReplayPreview(described, context=context).data)
