"""The API of approvals: list, ask, look, decide. A key may ask; only a signed-in person decides."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.approvals import rules, service
from delivery.approvals.rules import REASON_LENGTH_MOST
from delivery.approvals.service import Decided
from delivery.models import Approval, ApprovalKind, ApprovalState
from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, not_possible, refused, wrong
from eventcenter.api.etags import one
from eventcenter.api.fields import Slug, Text
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, Body, PageOfIds, listing
from subscriptions.api.subscriptions import read

ASKING = (Permission.REPLAY, Permission.OPERATE)  # which one, the kind says


class ApprovalAnswer(Answer):
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


class ApprovalQuery(PageOfIds):
    state = serializers.ChoiceField(choices=ApprovalState.choices, required=False)
    kind = serializers.ChoiceField(choices=ApprovalKind.choices, required=False)
    tenant = Slug(required=False)


Approvals = listing(ApprovalAnswer, "Approvals")


class ApprovalBody(Body):
    """What to ask for. `target`: the id of the delivery, the replay or the endpoint."""

    kind = serializers.ChoiceField(choices=ApprovalKind.choices)
    target = Text(max_length=36)
    reason = Text(max_length=REASON_LENGTH_MOST)


class ReasonBody(Body):
    reason = Text(max_length=REASON_LENGTH_MOST)


EXAMPLE = OpenApiExample(
    "An endpoint that the system disabled",
    {"kind": "endpoint.resume", "target": "17", "reason": "They restarted it."},
    request_only=True,
)


class ApprovalApi(Api):
    """Who may do what, the services say."""

    def approval(self, approval_id: UUID) -> Approval:
        found = service.visible_to(self.principal).filter(pk=approval_id).first()
        if found is None:
            raise Http404
        return found

    def reason(self, request: Request) -> str:
        return _with_reason(read(ReasonBody, request))["reason"]

    def told(self, approval_id: UUID, decided: Decided) -> Response:
        if decided.forbidden:
            raise refused(decided.refusal)
        if not decided:
            raise not_possible(decided.refusal)
        return Response(ApprovalAnswer(service.approval_of(approval_id)).data)


def _with_reason(given: dict[str, str]) -> dict[str, str]:
    if words := rules.refusal_of_reason(given["reason"]):
        raise wrong({"reason": words})
    return given


class ApprovalList(ApprovalApi):
    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        self.single_use = request.method != "POST"  # whose body says what is meant; asked again, it is answered again
        super().initial(request, *args, **kwargs)

    @operation("list_approvals", Permission.VIEW, *ASKING, answer=Approvals, query=ApprovalQuery)
    def get(self, request: Request) -> Response:
        """Of the tenants where you may look; and those that you asked for."""
        query = ApprovalQuery.of(request.query_params)
        names = {"state": "state", "kind": "kind", "tenant": "tenant__slug"}
        wanted = {lookup: query[name] for name, lookup in names.items() if name in query}
        rows = service.visible_to(self.principal).filter(**wanted)
        return page(request, rows, query, lambda found: ApprovalAnswer(found, many=True).data)

    @operation(
        "create_approval",
        *ASKING,
        answer=ApprovalAnswer,
        status=HTTPStatus.CREATED,
        body=ApprovalBody,
        refusals=(409,),
        repeats=True,
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """201; or 200 with the one that waits for this target already. It takes what doing it alone would take."""
        given = _with_reason(read(ApprovalBody, request))
        asked = service.ask(ApprovalKind(given["kind"]), given["target"], self.principal, given["reason"])
        if asked.missing:
            raise Http404
        if asked.forbidden:
            raise refused(asked.refusal)
        if asked.approval is None:
            raise not_possible(asked.refusal)
        status = HTTPStatus.CREATED if asked.is_new else HTTPStatus.OK
        headers = {"Location": reverse("approval-api", args=[asked.approval.pk])}
        return Response(ApprovalAnswer(asked.approval).data, status=status, headers=headers)


class ApprovalDetail(ApprovalApi):
    @operation("read_approval", Permission.VIEW, *ASKING, answer=ApprovalAnswer, tagged=True)
    def get(self, request: Request, approval_id: UUID) -> Response:
        return one(request, ApprovalAnswer(self.approval(approval_id)).data)


class ApprovalApprove(ApprovalApi):
    single_use = False  # no key decides, so a signature is good for nothing here

    @operation("approve_approval", Permission.APPROVE, answer=ApprovalAnswer, body=ReasonBody, refusals=(409,))
    def post(self, request: Request, approval_id: UUID) -> Response:
        """Done at once: `state` is approved, or failed when it was not possible any more, and `outcome` says why. Only a
        signed-in person decides, and another one than who asked."""
        self.approval(approval_id)
        return self.told(approval_id, service.approve(approval_id, self.principal, self.reason(request)))


class ApprovalReject(ApprovalApi):
    single_use = False

    @operation("reject_approval", Permission.APPROVE, answer=ApprovalAnswer, body=ReasonBody, refusals=(409,))
    def post(self, request: Request, approval_id: UUID) -> Response:
        self.approval(approval_id)
        return self.told(approval_id, service.reject(approval_id, self.principal, self.reason(request)))


class ApprovalWithdraw(ApprovalApi):
    @operation("withdraw_approval", *ASKING, answer=ApprovalAnswer, refusals=(409,))
    def post(self, request: Request, approval_id: UUID) -> Response:
        """By who asked for it."""
        self.approval(approval_id)
        return self.told(approval_id, service.withdraw(approval_id, self.principal))
