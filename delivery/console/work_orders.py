"""The console's pages of work orders: the list, one with its timeline, a new one."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from audit.trail import Actor
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.list_filter import Field, ListFilter, tenant_field
from delivery.console.paging import Cursor, capped_count, page_of
from delivery.console.views import LIVE_ID
from delivery.models import (
    AlertSeverity,
    LinkKind,
    WorkOrder,
    WorkOrderOutcome,
    WorkOrderQuerySet,
    WorkOrderState,
)
from delivery.work_orders import linking, rules, service
from delivery.work_orders.rules import MOVES, Draft
from delivery.work_orders.service import Done
from delivery.work_orders.timeline import timeline
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require

UNFINISHED, ME, NOBODY = "unfinished", "me", "nobody"
STATE = Field(
    "state",
    "State",
    "All states",
    [(UNFINISHED, "Not closed"), *((state.value, state.label) for state in WorkOrderState)],
)
SEVERITY = Field(
    "severity", "Severity", "All severities", [(severity.value, severity.label) for severity in AlertSeverity]
)
ASSIGNEE = Field("assignee", "Assigned", "To anybody", [(ME, "To me"), (NOBODY, "To nobody")])


class WorkOrderList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        principal, cursor = self.principal, Cursor.of(request.GET)
        applied = ListFilter.of(request.GET.dict(), [STATE, SEVERITY, ASSIGNEE, tenant_field(request)])
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('work-orders')}?{applied.query}".rstrip("?"))
        rows = _filtered(service.visible_to(principal), applied, principal)
        count, more = capped_count(rows)
        page = page_of(rows, cursor)
        context = {
            "page": page,
            "count": count,
            "more": more,
            "filter": applied,
            "is_newest": cursor.is_newest,
            "to_take": {row.pk for row in page.rows if _is_free(row) and _may(principal, row.tenant_id)},
        }
        live = htmx_of(request).target == LIVE_ID
        return render(request, "console/_work_orders.html" if live else "console/work_orders.html", context)


def _is_free(order: WorkOrder) -> bool:
    return order.assignee_id is None and order.state != WorkOrderState.CLOSED


def _filtered(rows: WorkOrderQuerySet, applied: ListFilter, principal: Principal) -> WorkOrderQuerySet:
    given: dict[str, object] = {"severity": applied.chosen("severity"), "tenant__slug": applied.chosen("tenant")}
    if applied.chosen("state") == UNFINISHED:
        rows = rows.unfinished()
    else:
        given["state"] = applied.chosen("state")
    if applied.chosen("assignee"):
        rows = rows.filter(assignee_id=principal.user_id if applied.chosen("assignee") == ME else None)
    return rows.filter(**{name: value for name, value in given.items() if value})


class WorkOrderPage(ConsoleView):
    def get(self, request: HttpRequest, order_id: UUID) -> HttpResponse:
        return _page(request, _order(self.principal, order_id), self.principal)


def _page(request: HttpRequest, order: WorkOrder, principal: Principal, **given: object) -> HttpResponse:
    context = {
        "order": order,
        "steps": timeline(order),
        "links": linking.describe(order.links.all()),
        "actions": rules.actions_of(order.state) if _may(principal, order.tenant_id) else [],
        "may_operate": _may(principal, order.tenant_id),
        "outcomes": WorkOrderOutcome.choices,
        "kinds": LinkKind.choices,
        "text_most": rules.TEXT_LENGTH_MOST,
    }
    return render(request, "console/work_order.html", context | given)


class WorkOrderMove(ConsoleView):
    """POST only: comment, assign, link, close, and MOVES."""

    permission = Permission.OPERATE

    def post(self, request: HttpRequest, order_id: UUID, action: str) -> HttpResponse:
        principal = self.principal
        order = _order(principal, order_id)
        change = CHANGES.get(action)
        if change is None and action not in MOVES:
            raise Http404
        require(principal, Permission.OPERATE, order.tenant_id)
        done = (
            change(order.pk, request.POST, principal.actor)
            if change
            else service.act(order.pk, action, principal.actor)
        )
        if done:
            return redirect("work-order", order.pk)
        messages.error(request, done.words)
        return _page(request, service.visible_to(principal).get(pk=order.pk), principal, given=request.POST.dict())


def _assign(order_id: UUID, data: QueryDict, actor: Actor) -> Done:
    name = actor.name.removeprefix("user:") if "to_me" in data else data.get("assignee", "").strip()
    return service.assign(order_id, name, actor)


def _linked(order_id: UUID, data: QueryDict, actor: Actor) -> Done:
    kind, key = data.get("kind", ""), _uuid(data.get("id", "").strip())
    if kind not in LinkKind.values or key is None:
        return Done(problems={"id": "takes the id of a delivery, replay, approval or alert"})
    return service.link(order_id, LinkKind(kind), key, actor)


CHANGES: dict[str, Callable[[UUID, QueryDict, Actor], Done]] = {
    "comment": lambda order_id, data, actor: service.comment(order_id, data.get("text", ""), actor),
    "assign": _assign,
    "link": _linked,
    "close": lambda order_id, data, actor: service.close(
        order_id, data.get("outcome", ""), data.get("text", ""), actor
    ),
}


class WorkOrderNew(ConsoleView):
    """?delivery=ID or ?alert=ID (also replay, approval): what it is about; without, a tenant is chosen."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest) -> HttpResponse:
        principal, links = self.principal, _links(request.GET)
        owner = _owner(principal, links)
        return _form(request, links, owner, {"title": _title(links) if owner else ""})

    def post(self, request: HttpRequest) -> HttpResponse:
        principal, links, data = self.principal, _links(request.GET), request.POST.dict()
        owner = _owner(principal, links) or _chosen_tenant(principal, data.get("tenant", ""))
        if owner is None:
            return _form(request, links, None, data, {"tenant": "takes one of your tenants"})
        draft = Draft(
            tenant_id=owner,
            title=data.get("title", "").strip(),
            body=data.get("body", ""),
            severity=data.get("severity", ""),
            origin=service.origin_of(links),
            links=tuple(links),
        )
        done = service.open_by_hand(draft, principal.actor)
        if done.order is None:
            return _form(request, links, owner, data, done.problems)
        messages.success(request, "Opened.")
        return redirect("work-order", done.order.pk)


Links = list[tuple[LinkKind, UUID]]


def _form(
    request: HttpRequest,
    links: Links,
    owner: int | None,
    given: dict[str, str],
    problems: dict[str, str] | None = None,
) -> HttpResponse:
    context = {
        "links": links,
        "tenants": [] if links else [slug for slug, _ in tenant_field(request, Permission.OPERATE).choices],
        "owner": owner,
        "given": {"severity": AlertSeverity.WARNING.value} | given,
        "problems": problems or {},
        "severities": AlertSeverity.choices,
        "title_most": rules.TITLE_LENGTH_MOST,
        "text_most": rules.TEXT_LENGTH_MOST,
    }
    return render(request, "console/work_order_new.html", context)


def _links(query: QueryDict) -> Links:
    found = ((kind, _uuid(query.get(kind.value, ""))) for kind in LinkKind)
    return [(kind, key) for kind, key in found if key is not None]


def _owner(principal: Principal, links: Links) -> int | None:
    """The tenant of what it is about; Http404 when there is no such thing, or it is not the caller's."""
    owners = {linking.owner_of(kind, key) for kind, key in links}
    if not owners:
        return None
    owner = owners.pop()
    if owners or owner is None:
        raise Http404
    require(principal, Permission.OPERATE, owner)
    return owner


def _title(links: Links) -> str:
    [first, *_] = linking.tell(links)
    return first.words[: rules.TITLE_LENGTH_MOST]


def _chosen_tenant(principal: Principal, slug: str) -> int | None:
    owner = linking.tenant_of(slug)
    return owner if owner is not None and _may(principal, owner) else None


def _may(principal: Principal, tenant_id: int) -> bool:
    return principal.may(Permission.OPERATE, tenant_id)


def _order(principal: Principal, order_id: UUID) -> WorkOrder:
    order = service.visible_to(principal).filter(pk=order_id).first()
    if order is None:
        raise Http404
    return order


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
