"""Events, and what could not become one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from eventcenter.ids import id_time
from eventcenter.log_pages.base import LogAdmin
from eventcenter.log_pages.filters import TenantSlugFilter, WindowFilter
from eventcenter.log_pages.reading import header_lines, readable, shown
from eventcenter.models import Event, RejectedEvent
from eventcenter.tracing.w3c import trace_id_of


@admin.register(Event)
class EventAdmin(LogAdmin[Event]):
    """A list does not read the bodies."""

    list_display = ("accepted_at", "short_id", "tenant", "type", "subject", "tag_list")
    list_select_related = ("tenant",)
    fieldsets: ClassVar = (
        (None, {"fields": ("id", "tenant", "type", "subject", "source", "tag_list")}),
        ("Times", {"fields": ("accepted_at", "ingested_at", "time")}),
        ("From the producer", {"fields": ("producer_id", "idempotency_key", "trace_id", "traceparent", "tracestate")}),
        ("In the bus", {"fields": ("kafka_partition", "kafka_offset")}),
        ("Its deliveries", {"fields": ("deliveries_link",)}),
        ("The CloudEvent, as it is sent", {"fields": ("document",)}),
    )
    readonly_fields = ("accepted_at", "tag_list", "trace_id", "document", "deliveries_link")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows.select_related("tenant").defer("body")

    @admin.display(description="Accepted at")
    def accepted_at(self, row: Event) -> str:
        return f"{id_time(row.pk):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @admin.display(description="Tags")
    def tag_list(self, row: Event) -> str:
        return ", ".join(row.tags) or "–"

    @admin.display(description="Trace id")
    def trace_id(self, row: Event) -> str:
        return trace_id_of(row.traceparent) or "–"

    @admin.display(description="Body")
    def document(self, row: Event) -> SafeString:
        return shown(readable(bytes(row.body)))

    @admin.display(description="Deliveries")
    def deliveries_link(self, row: Event) -> str:
        """By name: their page is the upper layer's."""
        try:
            return format_html('<a href="{}?q={}">Show</a>', reverse("admin:delivery_delivery_changelist"), row.pk)
        except NoReverseMatch:
            return "–"


@admin.register(RejectedEvent)
class RejectedEventAdmin(LogAdmin[RejectedEvent]):
    tenant_column, tenant_by_slug = "tenant_slug", True

    list_display = ("rejected_at", "reason", "tenant_slug", "detail", "topic", "kafka_partition", "kafka_offset")
    list_filter: ClassVar[Any] = ("reason", WindowFilter, TenantSlugFilter)
    fields: ClassVar = (
        "id",
        "rejected_at",
        "reason",
        "detail",
        "tenant_slug",
        "topic",
        "kafka_partition",
        "kafka_offset",
        "key_text",
        "header_text",
        "value_text",
    )
    readonly_fields = ("rejected_at", "key_text", "header_text", "value_text")

    @admin.display(description="Rejected at")
    def rejected_at(self, row: RejectedEvent) -> str:
        return f"{id_time(row.pk):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Key")
    def key_text(self, row: RejectedEvent) -> str:
        return readable(bytes(row.key or b"")) or "–"

    @admin.display(description="Headers")
    def header_text(self, row: RejectedEvent) -> SafeString:
        return header_lines(row.headers)

    @admin.display(description="Value")
    def value_text(self, row: RejectedEvent) -> SafeString:
        return shown(readable(bytes(row.value)))
