"""The API of work orders: list, open, look, and each change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api.oversight import (
    WITH_BODY,
    OversightApi,
    forbidden,
    found_or_404,
    not_possible,
    page,
    read,
    refusals,
    wrong,
)
from delivery.api.work_order_shapes import (
    AssignBody,
    CloseBody,
    CommentBody,
    LinkBody,
    WorkOrderAnswer,
    WorkOrderBody,
    WorkOrderDetailAnswer,
    WorkOrderQuery,
    WorkOrdersAnswer,
)
from delivery.models import LinkKind, WorkOrder, WorkOrderState
from delivery.work_orders import linking, service
from delivery.work_orders.rules import Draft, actions_of
from delivery.work_orders.service import Done
from delivery.work_orders.timeline import timeline
from eventcenter.access.roles import Permission

UNFINISHED = "unfinished"


class WorkOrderApi(OversightApi):
    def order(self, order_id: UUID, permission: Permission = Permission.VIEW) -> WorkOrder:
        """Raises Http404 or Problem 403."""
        order = found_or_404(service.visible_to(self.principal), order_id)
        self.require(permission, order.tenant_id)
        return order

    def require(self, permission: Permission, tenant_id: int) -> None:
        if not self.principal.may(permission, tenant_id):
            raise forbidden(f"This takes the permission “{permission}” in the tenant.")

    def told(self, done: Done) -> Response:
        """The whole work order, or the Problem."""
        if done.problems:
            raise wrong(done.problems)
        if done.refusal == service.MISSING:
            raise Http404
        if done.order is None:
            raise not_possible(done.refusal)
        return Response(shown(service.order_of(done.order.pk)))


def shown(order: WorkOrder) -> dict[str, Any]:
    context = {
        "actions": actions_of(order.state),
        "links": linking.describe(order.links.all()),
        "timeline": timeline(order),
    }
    return dict(WorkOrderDetailAnswer(order, context=context).data)


class WorkOrderList(WorkOrderApi):
    @extend_schema(
        operation_id="list_work_orders", parameters=[WorkOrderQuery], responses={200: WorkOrdersAnswer, **refusals(400)}
    )
    def get(self, request: Request) -> Response:
        query = read(WorkOrderQuery, request.query_params.dict())
        rows = service.visible_to(self.principal)
        if query.get("state") == UNFINISHED:
            rows = rows.exclude(state=WorkOrderState.CLOSED)
            del query["state"]
        names = {
            "state": "state",
            "severity": "severity",
            "tenant": "tenant__slug",
            "assignee": "assignee__username",
        }
        wanted = {lookup: query[name] for name, lookup in names.items() if name in query}
        return page(rows.filter(**wanted), query, lambda found: WorkOrderAnswer(found, many=True).data)

    @extend_schema(
        operation_id="create_work_order",
        request=WorkOrderBody,
        responses={201: WorkOrderDetailAnswer, **refusals(*WITH_BODY)},
    )
    def post(self, request: Request) -> Response:
        """`tenant` may be left out where `links` say whose it is."""
        given = read(WorkOrderBody, request.data)
        links = tuple((LinkKind(item["kind"]), item["id"]) for item in given["links"])
        draft = Draft(
            tenant_id=self._owner(given.get("tenant"), links),
            title=given["title"],
            body=given["body"],
            severity=given["severity"],
            origin=service.origin_of(links),
            links=links,
        )
        done = service.open_by_hand(draft, self.principal.actor)
        answer = self.told(done)
        assert done.order is not None
        answer.status_code = HTTPStatus.CREATED
        answer["Location"] = reverse("work-order-api", args=[done.order.pk])
        return answer

    def _owner(self, slug: str | None, links: tuple[tuple[LinkKind, UUID], ...]) -> int:
        """Raises Problem 400 or 403. Another's tenant and one that is not there get the same answer."""
        if slug is None and not links:
            raise wrong({"tenant": "is missing: name it by its slug, or link what the work order is about"})
        owner = linking.owner_of(*links[0]) if slug is None else linking.tenant_of(slug)
        if owner is None or not self.principal.may(Permission.VIEW, owner):
            raise wrong({"tenant" if slug is not None else "links": "is not known"})
        self.require(Permission.OPERATE, owner)
        return owner


class WorkOrderDetail(WorkOrderApi):
    @extend_schema(operation_id="read_work_order", responses={200: WorkOrderDetailAnswer, **refusals()})
    def get(self, request: Request, order_id: UUID) -> Response:
        return Response(shown(self.order(order_id)))


class WorkOrderMove(WorkOrderApi):
    """`action`: one of the moves, by the URL's pattern."""

    action = ""

    def post(self, request: Request, order_id: UUID) -> Response:
        self.order(order_id, Permission.OPERATE)
        return self.told(service.act(order_id, self.action, self.principal.actor))


def _move(action: str) -> type[WorkOrderMove]:
    """A view of its own, so that the document has an operation of its own."""
    view = type(f"WorkOrder{action.capitalize()}", (WorkOrderMove,), {"action": action})
    documented = {200: WorkOrderDetailAnswer, **refusals(409, 411, 413)}
    decorate = extend_schema(operation_id=f"{action}_work_order", request=None, responses=documented)
    post = decorate(lambda self, request, order_id: WorkOrderMove.post(self, request, order_id))
    view.post = post  # type: ignore[attr-defined]
    return view


WorkOrderStart, WorkOrderStop, WorkOrderReopen = _move("start"), _move("stop"), _move("reopen")


class WorkOrderClose(WorkOrderApi):
    @extend_schema(
        operation_id="close_work_order",
        request=CloseBody,
        responses={200: WorkOrderDetailAnswer, **refusals(*WITH_BODY, 409)},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        self.order(order_id, Permission.OPERATE)
        given = read(CloseBody, request.data)
        return self.told(service.close(order_id, given["outcome"], given["text"], self.principal.actor))


class WorkOrderAssign(WorkOrderApi):
    @extend_schema(
        operation_id="assign_work_order",
        request=AssignBody,
        responses={200: WorkOrderDetailAnswer, **refusals(*WITH_BODY, 409)},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """To a user who may operate in the tenant; null: to nobody."""
        self.order(order_id, Permission.OPERATE)
        given = read(AssignBody, request.data)
        return self.told(service.assign(order_id, given["assignee"] or "", self.principal.actor))


class WorkOrderComments(WorkOrderApi):
    @extend_schema(
        operation_id="comment_work_order",
        request=CommentBody,
        responses={200: WorkOrderDetailAnswer, **refusals(*WITH_BODY)},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """It cannot be changed afterwards."""
        self.order(order_id, Permission.OPERATE)
        return self.told(service.comment(order_id, read(CommentBody, request.data)["text"], self.principal.actor))


class WorkOrderLinks(WorkOrderApi):
    @extend_schema(
        operation_id="link_work_order",
        request=LinkBody,
        responses={200: WorkOrderDetailAnswer, **refusals(*WITH_BODY)},
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """To something of the same tenant; twice is once."""
        self.order(order_id, Permission.OPERATE)
        given = read(LinkBody, request.data)
        return self.told(service.link(order_id, LinkKind(given["kind"]), given["id"], self.principal.actor))
