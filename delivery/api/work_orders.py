"""The API of work orders: list, open, look, and each change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.api.work_order_shapes import (
    AssignBody,
    CloseBody,
    CommentBody,
    LinkBody,
    WorkOrderAnswer,
    WorkOrderBody,
    WorkOrderDetailAnswer,
    WorkOrderQuery,
    WorkOrders,
)
from delivery.models import LinkKind, WorkOrder, WorkOrderState
from delivery.work_orders import linking, service
from delivery.work_orders.rules import Draft, actions_of
from delivery.work_orders.service import Done
from delivery.work_orders.timeline import timeline
from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, not_possible, wrong
from eventcenter.api.etags import one
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from subscriptions.api.subscriptions import read

UNFINISHED = "unfinished"
EXAMPLE = OpenApiExample(
    "To be looked into", {"tenant": "acme", "title": "ci-cd took nothing for an hour"}, request_only=True
)


class WorkOrderApi(Api):
    def order(self, order_id: UUID) -> WorkOrder:
        """Raises Http404 or Problem 403."""
        return self.find(service.visible_to(self.principal), pk=order_id)

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
    @operation("list_work_orders", Permission.VIEW, answer=WorkOrders, query=WorkOrderQuery)
    def get(self, request: Request) -> Response:
        query = WorkOrderQuery.of(request.query_params)
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
        return page(request, rows.filter(**wanted), query, lambda found: WorkOrderAnswer(found, many=True).data)

    @operation(
        "create_work_order",
        Permission.OPERATE,
        answer=WorkOrderDetailAnswer,
        status=HTTPStatus.CREATED,
        body=WorkOrderBody,
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """`tenant` may be left out where `links` say whose it is."""
        given = read(WorkOrderBody, request)
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
        self.require(owner)
        return owner


class WorkOrderDetail(WorkOrderApi):
    @operation("read_work_order", Permission.VIEW, answer=WorkOrderDetailAnswer, tagged=True)
    def get(self, request: Request, order_id: UUID) -> Response:
        return one(request, shown(self.order(order_id)))


def _move(action: str) -> type[WorkOrderApi]:
    """A view of its own, so that the document has an operation of its own."""

    @operation(f"{action}_work_order", Permission.OPERATE, answer=WorkOrderDetailAnswer, refusals=(409,))
    def post(self: WorkOrderApi, request: Request, order_id: UUID) -> Response:
        self.order(order_id)
        return self.told(service.act(order_id, action, self.principal.actor))

    return type(f"WorkOrder{action.capitalize()}", (WorkOrderApi,), {"post": post})


WorkOrderStart, WorkOrderStop, WorkOrderReopen = _move("start"), _move("stop"), _move("reopen")


class WorkOrderClose(WorkOrderApi):
    @operation("close_work_order", Permission.OPERATE, answer=WorkOrderDetailAnswer, body=CloseBody, refusals=(409,))
    def post(self, request: Request, order_id: UUID) -> Response:
        self.order(order_id)
        given = read(CloseBody, request)
        return self.told(service.close(order_id, given["outcome"], given["text"], self.principal.actor))


class WorkOrderAssign(WorkOrderApi):
    @operation("assign_work_order", Permission.OPERATE, answer=WorkOrderDetailAnswer, body=AssignBody, refusals=(409,))
    def post(self, request: Request, order_id: UUID) -> Response:
        """To a user who may operate in the tenant; null: to nobody."""
        self.order(order_id)
        given = read(AssignBody, request)
        return self.told(service.assign(order_id, given["assignee"] or "", self.principal.actor))


class WorkOrderComments(WorkOrderApi):
    @operation("comment_work_order", Permission.OPERATE, answer=WorkOrderDetailAnswer, body=CommentBody)
    def post(self, request: Request, order_id: UUID) -> Response:
        """It cannot be changed afterwards."""
        self.order(order_id)
        return self.told(service.comment(order_id, read(CommentBody, request)["text"], self.principal.actor))


class WorkOrderLinks(WorkOrderApi):
    @operation("link_work_order", Permission.OPERATE, answer=WorkOrderDetailAnswer, body=LinkBody)
    def post(self, request: Request, order_id: UUID) -> Response:
        """To something of the same tenant; twice is once."""
        self.order(order_id)
        given = read(LinkBody, request)
        return self.told(service.link(order_id, LinkKind(given["kind"]), given["id"], self.principal.actor))
