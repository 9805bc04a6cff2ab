"""The replays API: create, list, look at, and move jobs that replay or cancel many deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api.intake import make_job, read_criteria
from delivery.api.serializers import ReplayOptions, ReplayPage, ReplayPreview, ReplayRequest, ReplaySerializer
from delivery.approvals.service import of_target
from delivery.models import ApprovalKind, ReplayJob, ReplayState
from delivery.models import ReplayAction as Action
from delivery.replays import gate, service
from delivery.replays.preview import sample
from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, approval_needed
from eventcenter.api.etags import one
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import PageOfIds
from eventcenter.problems import FieldError, Problem

EXAMPLE = OpenApiExample(
    "All that an endpoint has not got",
    {"endpoint": "ci-cd", "status": ["dead"], "rate_per_s": 50, "reason": "restored", "dry_run": True},
    request_only=True,
)


class ReplayApi(Api):
    """A replay is its tenant's; one that goes across tenants is the platform's."""

    def jobs(self) -> QuerySet[ReplayJob]:
        """Those that the caller may see."""
        return self.visible(ReplayJob.objects.select_related("tenant"))

    def job(self, replay_id: UUID) -> ReplayJob:
        return self.find(ReplayJob.objects.select_related("tenant"), pk=replay_id)


class ReplayList(ReplayApi):
    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        self.single_use = request.method != "POST"  # which is answered again with the job that it made
        super().initial(request, *args, **kwargs)

    @operation("list_replays", Permission.VIEW, Permission.REPLAY, answer=ReplayPage, query=PageOfIds)
    def get(self, request: Request) -> Response:
        query = PageOfIds.of(request.query_params)
        return page(request, self.jobs(), query, lambda rows: ReplaySerializer(service.describe(rows), many=True).data)

    @operation(
        "create_replay",
        Permission.REPLAY,
        Permission.OPERATE,
        answer=ReplayPreview,
        status=HTTPStatus.CREATED,
        body=ReplayRequest,
    )
    def post(self, request: Request) -> Response:
        """Counts, and starts unless `dry_run`. One that needs a second person stays a draft and waits for its `approval`.
        To replay takes `replay`, to cancel `operate`. A signed call that is repeated is answered with the job that it made."""
        data = _object(request.data)
        options = ReplayOptions(data={name: value for name, value in data.items() if name in ReplayOptions().fields})
        options.is_valid(raise_exception=True)
        given: dict[str, Any] = options.validated_data
        action = Action(given["action"])
        criteria = read_criteria(
            {name: value for name, value in data.items() if name not in ReplayOptions().fields}, request, action
        )
        rate = given.get("rate_per_s", service.RATES_DEFAULT_PER_S[action])
        job = make_job(request, criteria, rate, given["reason"], start=not given["dry_run"], action=action)
        return Response(
            _preview(job), status=HTTPStatus.CREATED, headers={"Location": reverse("replay-api", args=[job.pk])}
        )


class ReplayDetail(ReplayApi):
    @operation("read_replay", Permission.VIEW, Permission.REPLAY, answer=ReplayPreview, tagged=True)
    def get(self, request: Request, replay_id: UUID) -> Response:
        return one(request, _preview(self.job(replay_id)))


ACTION = OpenApiParameter("action", str, OpenApiParameter.PATH, enum=list(service.MOVES))


@extend_schema(parameters=[ACTION])
class ReplayAction(ReplayApi):
    @operation("move_replay", Permission.REPLAY, Permission.OPERATE, answer=ReplayPreview, refusals=(409,))
    def post(self, request: Request, replay_id: UUID, action: str) -> Response:
        """Of a job that replays it takes `replay`, of one that cancels `operate`."""
        job = self.job(replay_id)
        self.require(job.tenant_id, gate.permission_of(job))
        if action not in service.MOVES:
            raise Http404
        needs = service.why_approval(job.pk) if action == "start" else ""
        if needs:
            raise approval_needed(needs)
        refusal = service.act(job.pk, action, self.principal.actor)
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
