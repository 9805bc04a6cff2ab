"""Breakers, to be seen and set by hand; alerts, escalations, approvals and work orders, to be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from django import forms
from django.contrib import admin, messages
from django.db.models import F, Model, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from audit.audited_admin import ReadOnlyAdmin, actor_of
from audit.trail import Actor
from delivery import log_admin
from delivery.alerting import contact_admin, rule_admin
from delivery.health import breakers
from delivery.health.breaker import REASON_CHARS
from delivery.models import Alert, Approval, Breaker, BreakerState, Escalation, WorkOrder, WorkOrderComment
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.log_pages.paging import CappedPaginator
from subscriptions.models import Endpoint

if TYPE_CHECKING:
    BreakerModelForm = forms.ModelForm[Breaker]
    CommentRows = admin.TabularInline[WorkOrderComment, WorkOrder]
else:
    BreakerModelForm = forms.ModelForm
    CommentRows = admin.TabularInline

__all__ = ["contact_admin", "log_admin", "rule_admin"]  # register contacts, rules; deliveries, replays and the feed

M = TypeVar("M", bound=Model)


class OpenForm(BreakerModelForm):
    """To open the breaker of any endpoint by hand, also of one that is well and so has no row."""

    endpoint = forms.ModelChoiceField(Endpoint.objects.select_related("tenant"))
    why = forms.CharField(
        label="Reason", max_length=REASON_CHARS, help_text="Shown with every delivery that waits for the endpoint."
    )

    class Meta:
        model = Breaker
        fields: ClassVar[list[str]] = []

    def _post_clean(self) -> None:
        """The row is made and checked by delivery.health.breakers."""


@admin.register(Breaker)
class BreakerAdmin(TenantScoped, ReadOnlyAdmin[Breaker]):
    """Endpoints that are not well, or were not within the last day. "Add" opens a breaker by hand, the actions do the
    rest; each is a service's call with its audit entry."""

    list_display = ("endpoint", "tenant", "state", "why", "next_probe_at", "hold_until", "failing_since", "openings")
    list_filter = ("state", "by_hand")
    search_fields = ("=endpoint_id", "endpoint_slug", "tenant_slug")
    search_help_text = "An endpoint's number or name, or a tenant."
    ordering = (F("failing_since").asc(nulls_last=True), "endpoint_id")
    actions = ("open_selected", "close_selected", "probe_selected", "end_hold_selected")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Breaker]:
        return _with_names(super().get_queryset(request))

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return self.has_operate_permission(request)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("delivery.change_breaker")

    def get_form(
        self, request: HttpRequest, obj: Breaker | None = None, change: bool = False, **kwargs: object
    ) -> type[ModelForm[Breaker]]:
        if obj:
            return super().get_form(request, obj, change, **kwargs)
        endpoints = within(Endpoint.objects.select_related("tenant"), principal_of(request), Permission.OPERATE)
        return type("OpenForm", (OpenForm,), {"endpoint": forms.ModelChoiceField(endpoints)})

    def get_fields(self, request: HttpRequest, obj: Breaker | None = None) -> tuple[str, ...]:
        own = tuple(field.name for field in Breaker._meta.fields)
        return ("endpoint", "tenant", *own) if obj else ("endpoint", "why")

    def save_model(self, request: HttpRequest, obj: Breaker, form: ModelForm[Breaker], change: bool) -> None:
        endpoint = form.cleaned_data["endpoint"]
        obj.endpoint_id, obj.tenant_id, obj.state = endpoint.pk, endpoint.tenant_id, BreakerState.OPEN
        if not breakers.open_by_hand(endpoint, actor_of(request), form.cleaned_data["why"]):
            messages.warning(request, "It was open by hand already; its reason stays.")

    @admin.display(description="Endpoint", ordering="endpoint_slug")
    def endpoint(self, row: Breaker) -> str:
        return _name(row, "endpoint_slug")

    @admin.display(description="Tenant", ordering="tenant_slug")
    def tenant(self, row: Breaker) -> str:
        return _name(row, "tenant_slug")

    @admin.display(description="Reason")
    def why(self, row: Breaker) -> str:
        return row.reason or row.hold_reason

    @admin.action(description="Open: hold their deliveries until it is closed by hand", permissions=["operate"])
    def open_selected(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        reason = f"Opened by {request.user.get_username()}."
        done = _each(request, queryset, lambda endpoint, actor: breakers.open_by_hand(endpoint, actor, reason))
        messages.success(request, f"{done} opened. Their deliveries wait; no attempt is spent.")

    @admin.action(description="Close: call them again", permissions=["operate"])
    def close_selected(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        messages.success(request, f"{_each(request, queryset, breakers.close_by_hand)} closed.")

    @admin.action(description="Probe now: let the next delivery find out", permissions=["operate"])
    def probe_selected(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        done = _each(request, queryset, breakers.probe_now)
        messages.success(request, f"{done} will be probed by the next delivery that waits.")

    @admin.action(description="End the pause that the receiver asked for", permissions=["operate"])
    def end_hold_selected(self, request: HttpRequest, queryset: QuerySet[Breaker]) -> None:
        messages.success(request, f"{_each(request, queryset, breakers.end_hold)} pauses ended.")


@admin.register(Alert)
class AlertAdmin(TenantScoped, ReadOnlyAdmin[Alert]):
    """Newest first. An open one is resolved when its cause is gone."""

    paginator = CappedPaginator
    list_display = (
        "raised_at",
        "state",
        "severity",
        "kind",
        "tenant",
        "endpoint",
        "summary",
        "incident",
        "muted",
        "last_at",
        "resolved_at",
        "work_order",
    )
    list_select_related = ("incident",)
    list_filter = ("state", ("resolved_at", admin.EmptyFieldListFilter), "severity", "kind", "muted")
    search_fields = ("summary", "=dedup_key", "=endpoint_id")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return _with_names(super().get_queryset(request))

    @admin.display(description="Endpoint")
    def endpoint(self, row: Alert) -> str:
        return _name(row, "endpoint_slug")

    @admin.display(description="Tenant")
    def tenant(self, row: Alert) -> str:
        return _name(row, "tenant_slug")

    @admin.display(description="Work order")
    def work_order(self, row: Alert) -> str:
        return format_html('<a href="{}?alert={}">Open one…</a>', reverse("work-order-new"), row.pk)


@admin.register(Escalation)
class EscalationAdmin(TenantScoped, ReadOnlyAdmin[Escalation]):
    """Deaths that called a person, newest deliveries first."""

    list_display = ("delivery_id", "tenant", "endpoint_id", "replays", "cause", "at", "noticed_at")
    list_select_related = ("tenant",)
    list_filter = ("cause",)
    search_fields = ("=delivery_id", "=endpoint_id", "tenant__slug")
    ordering = ("-delivery_id",)
    show_full_result_count = False


@admin.register(Approval)
class ApprovalAdmin(TenantScoped, ReadOnlyAdmin[Approval]):
    """Newest first. They are decided in the console."""

    list_display = ("requested_at", "state", "kind", "tenant", "target", "requested_by", "decided_by", "decided_at")
    list_select_related = ("tenant",)
    list_filter = ("state", "kind", "tenant")
    search_fields = ("=target", "=requested_by", "=decided_by", "tenant__slug")
    ordering = ("-id",)
    show_full_result_count = False


class CommentInline(CommentRows):
    model = WorkOrderComment
    fields = ("at", "author", "text")
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(WorkOrder)
class WorkOrderAdmin(TenantScoped, ReadOnlyAdmin[WorkOrder]):
    """Newest first. They are worked on in the console."""

    list_display = ("opened_at", "state", "severity", "title", "tenant", "assignee", "origin", "outcome", "closed_at")
    list_select_related = ("tenant", "assignee")
    list_filter = ("state", "severity", "origin", "outcome", "tenant")
    search_fields = ("title", "=cause", "tenant__slug", "assignee__username")
    ordering = ("-id",)
    inlines = (CommentInline,)
    show_full_result_count = False


def _with_names(rows: QuerySet[M]) -> QuerySet[M]:
    """Both tables name endpoints by number alone: deliveries of the past outlive them."""
    named = Endpoint.objects.filter(pk=OuterRef("endpoint_id"))
    slugs = {"endpoint_slug": named.values("slug")[:1], "tenant_slug": named.values("tenant__slug")[:1]}
    annotated: QuerySet[M] = rows.annotate(**{name: Subquery(query) for name, query in slugs.items()})
    return annotated


def _name(row: Model, annotation: str) -> str:
    return getattr(row, annotation, None) or "–"


def _each(request: HttpRequest, rows: QuerySet[Breaker], change: Callable[[Endpoint, Actor], bool]) -> int:
    """How many it did something to."""
    endpoints = Endpoint.objects.filter(pk__in=rows.values_list("pk", flat=True)).select_related("tenant")
    return sum(change(endpoint, actor_of(request)) for endpoint in endpoints.order_by("pk"))
