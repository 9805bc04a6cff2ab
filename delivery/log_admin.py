"""The admin's pages of what happened: deliveries with their attempts, replays, the console channel's feed."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from delivery.models import Attempt, Delivery, FeedItem, ReplayJob
from eventcenter.log_pages import LogAdmin
from eventcenter.log_pages.filters import TenantFilter, WindowFilter
from eventcenter.log_pages.reading import header_lines, pretty, readable, shown

# Of one delivery; its replays begin new rounds without end.
ATTEMPTS_MOST = 100


class StateFilter(admin.SimpleListFilter):
    """The two states that an index knows; the console's list filters by all of them within a tenant."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("dead", "Dead"), ("waiting", "Waiting for its time")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        match self.value():
            case "dead":
                return queryset.filter(dead_at__isnull=False)
            case "waiting":
                return queryset.filter(due_at__isnull=False)
            case _:
                return queryset


@admin.register(Delivery)
class DeliveryAdmin(LogAdmin[Delivery]):
    """Replays and the like are the console's, to which each page leads."""

    list_display = ("planned", "short_id", "tenant", "endpoint_slug", "event_text", "status", "answer")
    list_filter: ClassVar[Any] = (StateFilter, WindowFilter, TenantFilter)
    search_help_text = "A delivery's id (the webhook-id that its receiver saw) or its event's."
    fieldsets: ClassVar = (
        (None, {"fields": ("id", "console_link", "tenant", "event_link", "subscription_slug", "endpoint_link")}),
        ("State", {"fields": ("status", "attempts", "tries", "replays", "answer", "dead_reason", "held_reason")}),
        ("Times", {"fields": ("planned", "round_at", "next_attempt_at", "due_at", "finished_at", "dead_at")}),
        ("Attempts", {"fields": ("attempt_list",)}),
    )
    readonly_fields = (
        "planned",
        "console_link",
        "event_link",
        "subscription_slug",
        "endpoint_link",
        "answer",
        "attempt_list",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset(request)
        return rows.select_related("tenant", "event", "subscription", "endpoint__tenant").defer("event__body")

    def named(self, wanted: UUID) -> Q:
        """An event's deliveries have ids of its millisecond (derived_id), so either is found within one partition."""
        first = UUID(int=wanted.int >> 80 << 80)
        last = UUID(int=first.int | (1 << 80) - 1)
        return Q(pk__gte=first, pk__lte=last) & (Q(pk=wanted) | Q(event_id=wanted))

    @admin.display(description="Planned at")
    def planned(self, row: Delivery) -> str:
        return f"{row.planned_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @admin.display(description="Endpoint")
    def endpoint_slug(self, row: Delivery) -> str:
        return row.endpoint.slug

    @admin.display(description="Event")
    def event_text(self, row: Delivery) -> str:
        return f"{row.event.type} {row.event.subject}"

    @admin.display(description="Last answer")
    def answer(self, row: Delivery) -> str:
        return str(row.last_status_code or row.last_error_kind or "–")

    @admin.display(description="In the console")
    def console_link(self, row: Delivery) -> str:
        return format_html('<a href="{}">Timeline, replay</a>', reverse("delivery", args=[row.pk]))

    @admin.display(description="Event")
    def event_link(self, row: Delivery) -> str:
        page = reverse("admin:eventcenter_event_change", args=[row.event_id])
        return format_html('<a href="{}">{} {}</a>', page, row.event.type, row.event.subject)

    @admin.display(description="Subscription")
    def subscription_slug(self, row: Delivery) -> str:
        page = reverse("admin:subscriptions_subscription_change", args=[row.subscription_id])
        return format_html('<a href="{}">{}</a>', page, row.subscription.slug)

    @admin.display(description="Endpoint")
    def endpoint_link(self, row: Delivery) -> str:
        page = reverse("admin:subscriptions_endpoint_change", args=[row.endpoint_id])
        return format_html('<a href="{}">{}</a>', page, row.endpoint)

    @admin.display(description="The last ones")
    def attempt_list(self, row: Delivery) -> SafeString:
        found = Attempt.objects.filter(delivery_id=row.pk).order_by("-number")[:ATTEMPTS_MOST]
        attempts = [
            {
                "row": attempt,
                "headers": header_lines(attempt.response_headers),
                "body": shown(readable(bytes(attempt.response_body))),
            }
            for attempt in found
        ]
        return render_to_string("admin/delivery/delivery/attempts.html", {"attempts": attempts})


@admin.register(ReplayJob)
class ReplayJobAdmin(LogAdmin[ReplayJob]):
    """Started, paused and cancelled in the console, to which each page leads."""

    list_display = (
        "created_at",
        "short_id",
        "tenant_name",
        "state",
        "total",
        "queued",
        "skipped",
        "actor",
        "finished_at",
    )
    list_filter: ClassVar[Any] = ("state", WindowFilter, TenantFilter)
    list_select_related = ("tenant",)
    fieldsets: ClassVar = (
        (None, {"fields": ("id", "console_link", "tenant", "state", "actor", "reason", "note")}),
        ("What", {"fields": ("criteria_json", "until", "rate_per_s")}),
        ("How far", {"fields": ("total", "queued", "skipped", "cursor")}),
        ("Times", {"fields": ("created_at", "started_at", "stepped_at", "finished_at")}),
    )
    readonly_fields = ("console_link", "criteria_json")

    @admin.display(description="Tenant")
    def tenant_name(self, row: ReplayJob) -> str:
        return row.tenant.slug if row.tenant else "all"

    @admin.display(description="In the console")
    def console_link(self, row: ReplayJob) -> str:
        return format_html('<a href="{}">Progress, pause, cancel</a>', reverse("replay-job", args=[row.pk]))

    @admin.display(description="Filter")
    def criteria_json(self, row: ReplayJob) -> SafeString:
        return shown(pretty(row.criteria))


@admin.register(FeedItem)
class FeedItemAdmin(LogAdmin[FeedItem]):
    list_display = ("received_at", "short_id", "tenant", "endpoint_slug", "severity", "type", "subject", "summary")
    list_select_related = ("tenant", "endpoint__tenant")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeedItem]:
        rows: QuerySet[FeedItem] = super().get_queryset(request)
        return rows.select_related("tenant", "endpoint__tenant")

    @admin.display(description="Endpoint")
    def endpoint_slug(self, row: FeedItem) -> str:
        return row.endpoint.slug
