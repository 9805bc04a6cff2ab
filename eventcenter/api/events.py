from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api
from eventcenter.api.etags import one
from eventcenter.api.fields import Moment, Slug, Text, TraceId
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, PageOfIds, listing
from eventcenter.ids import id_floor, id_time
from eventcenter.models import Event
from eventcenter.tracing.w3c import trace_id_of

T = TypeVar("T", bound=Model)


class EventAnswer(Answer):
    """`id` is the Event Center's, `producer_id` the CloudEvents id that the producer gave."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    type = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    subject = serializers.CharField()
    producer_id = serializers.CharField()
    time = serializers.DateTimeField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    traceparent = serializers.CharField()
    trace_id = serializers.SerializerMethodField(help_text="The trace of all its spans, 32 hexadecimal characters.")
    accepted_at = serializers.SerializerMethodField()
    ingested_at = serializers.DateTimeField()

    def get_trace_id(self, event: Event) -> str:
        return trace_id_of(event.traceparent)

    def get_accepted_at(self, event: Event) -> datetime:
        return id_time(event.pk)


class WholeEventAnswer(EventAnswer):
    """With the CloudEvent itself, as subscribers get it."""

    cloudevent = serializers.SerializerMethodField()

    def get_cloudevent(self, event: Event) -> dict[str, Any]:
        return dict(orjson.loads(bytes(event.body)))


class EventQuery(PageOfIds):
    tenant = Slug(required=False)
    type = Text(required=False, max_length=200, help_text="Exact.")
    subject = Text(required=False, max_length=1024, help_text="Exact.")
    since = Moment(required=False, help_text="Accepted at that time or later.")
    until = Moment(required=False, help_text="Accepted before that time.")
    trace_id = TraceId(
        required=False,
        help_text="The events of one trace; those that were ingested since traces are kept.",
    )


Events = listing(EventAnswer, "Events")


def in_window(rows: QuerySet[T], query: dict[str, Any]) -> QuerySet[T]:
    """By the id, which carries the time: a range of the index."""
    if "since" in query:
        rows = rows.filter(pk__gte=id_floor(query["since"]))
    return rows.filter(pk__lt=id_floor(query["until"])) if "until" in query else rows


class EventList(Api):
    @operation("list_events", Permission.VIEW, answer=Events, query=EventQuery)
    def get(self, request: Request) -> Response:
        """Those that were ingested; one that was accepted a moment ago may still be on its way."""
        query = EventQuery.of(request.query_params)
        rows = self.visible(Event.objects.select_related("tenant").defer("body"))
        if "tenant" in query:
            rows = rows.filter(tenant_id=self.named_tenant(query["tenant"]).pk)
        wanted = {name: query[name] for name in ("type", "subject") if name in query}
        rows = in_window(rows.filter(**wanted), query)
        if "trace_id" in query:
            rows = rows.filter(trace=UUID(query["trace_id"]))
        return page(request, rows, query, lambda found: EventAnswer(found, many=True).data)


class EventDetail(Api):
    @operation("read_event", Permission.VIEW, answer=WholeEventAnswer, tagged=True)
    def get(self, request: Request, pk: object) -> Response:
        return one(request, WholeEventAnswer(self.find(Event.objects.select_related("tenant"), pk=pk)).data)
