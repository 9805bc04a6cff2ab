"""The API of approvals: list, ask, look, decide. A key may ask; only a signed-in person decides."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api.oversight import (
    WITH_BODY,
    Fields,
    OversightApi,
    Strict,
    Text,
    forbidden,
    found_or_404,
    not_possible,
    page,
    read,
    refusals,
    wrong,
)
from delivery.approvals import rules, service
from delivery.approvals.rules import REASON_LENGTH_MOST
from delivery.approvals.service import Decided
from delivery.models import Approval, ApprovalKind, ApprovalState


class ApprovalAnswer(Fields):
    """A request for a second person. `target` is noun:id; `arguments` is what will run, as it was when it was asked for.
    No tenant: it goes across tenants."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=ApprovalKind.choices)
    target = serializers.CharField()
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None)
    arguments = serializers.DictField()
    summary = serializers.CharField()
    state = serializers.ChoiceField(choices=ApprovalState.choices)
    reason = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    decided_by = serializers.CharField()
    decided_at = serializers.DateTimeField(allow_null=True)
    decision_reason = serializers.CharField()
    outcome = serializers.CharField()


class ApprovalsAnswer(Fields):
    """Newest first. `next`: the `before` of the next page; null at the end."""

    items = ApprovalAnswer(many=True)
    next = serializers.UUIDField(allow_null=True)


class ApprovalQuery(Strict):
    state = serializers.ChoiceField(choices=ApprovalState.choices, required=False)
    kind = serializers.ChoiceField(choices=ApprovalKind.choices, required=False)
    tenant = serializers.CharField(required=False, help_text="Slug.")
    before = serializers.UUIDField(required=False, help_text="Older than this one.")


class ApprovalBody(Strict):
    """What to ask for. `target`: the id of the delivery, the replay or the endpoint."""

    kind = serializers.ChoiceField(choices=ApprovalKind.choices)
    target = Text(max_length=36)
    reason = Text(max_length=REASON_LENGTH_MOST)


class ReasonBody(Strict):
    reason = Text(max_length=REASON_LENGTH_MOST)


class ApprovalList(OversightApi):
    @extend_schema(
        operation_id="list_approvals", parameters=[ApprovalQuery], responses={200: ApprovalsAnswer, **refusals(400)}
    )
    def get(self, request: Request) -> Response:
        query = read(ApprovalQuery, request.query_params.dict())
        names = {"state": "state", "kind": "kind", "tenant": "tenant__slug"}
        wanted = {lookup: query[name] for name, lookup in names.items() if name in query}
        rows = service.visible_to(self.principal).filter(**wanted)
        return page(rows, query, lambda found: ApprovalAnswer(found, many=True).data)

    @extend_schema(
        operation_id="create_approval",
        request=ApprovalBody,
        responses={200: ApprovalAnswer, 201: ApprovalAnswer, **refusals(*WITH_BODY, 409)},
    )
    def post(self, request: Request) -> Response:
        """201; or 200 with the one that waits for this target already."""
        given = read(ApprovalBody, request.data)
        if words := rules.refusal_of_reason(given["reason"]):
            raise wrong({"reason": words})
        asked = service.ask(ApprovalKind(given["kind"]), given["target"], self.principal, given["reason"])
        if asked.missing:
            raise Http404
        if asked.forbidden:
            raise forbidden(asked.refusal)
        if asked.approval is None:
            raise not_possible(asked.refusal)
        status = HTTPStatus.CREATED if asked.is_new else HTTPStatus.OK
        headers = {"Location": reverse("approval-api", args=[asked.approval.pk])}
        return Response(ApprovalAnswer(asked.approval).data, status=status, headers=headers)


class ApprovalApi(OversightApi):
    def approval(self, approval_id: UUID) -> Approval:
        return found_or_404(service.visible_to(self.principal), approval_id)

    def told(self, approval_id: UUID, decided: Decided) -> Response:
        if decided.forbidden:
            raise forbidden(decided.refusal)
        if not decided:
            raise not_possible(decided.refusal)
        return Response(ApprovalAnswer(service.approval_of(approval_id)).data)

    def reason(self, request: Request) -> str:
        given = str(read(ReasonBody, request.data)["reason"])
        if words := rules.refusal_of_reason(given):
            raise wrong({"reason": words})
        return given


class ApprovalDetail(ApprovalApi):
    @extend_schema(operation_id="read_approval", responses={200: ApprovalAnswer, **refusals()})
    def get(self, request: Request, approval_id: UUID) -> Response:
        return Response(ApprovalAnswer(self.approval(approval_id)).data)


class ApprovalApprove(ApprovalApi):
    @extend_schema(
        operation_id="approve_approval",
        request=ReasonBody,
        responses={200: ApprovalAnswer, **refusals(*WITH_BODY, 409)},
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        """Done at once: `state` is approved, or failed when it was not possible any more, and `outcome` says why."""
        self.approval(approval_id)
        return self.told(approval_id, service.approve(approval_id, self.principal, self.reason(request)))


class ApprovalReject(ApprovalApi):
    @extend_schema(
        operation_id="reject_approval", request=ReasonBody, responses={200: ApprovalAnswer, **refusals(*WITH_BODY, 409)}
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        self.approval(approval_id)
        return self.told(approval_id, service.reject(approval_id, self.principal, self.reason(request)))


class ApprovalWithdraw(ApprovalApi):
    @extend_schema(
        operation_id="withdraw_approval", request=None, responses={200: ApprovalAnswer, **refusals(409, 411, 413)}
    )
    def post(self, request: Request, approval_id: UUID) -> Response:
        """By who asked for it."""
        self.approval(approval_id)
        return self.told(approval_id, service.withdraw(approval_id, self.principal))
