from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, tenants
from eventcenter.api.etags import one
from eventcenter.api.events import in_window
from eventcenter.api.fields import Moment, Slug
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, PageOfIds, listing
from eventcenter.ids import id_time
from eventcenter.models import RejectedEvent, RejectReason

SHOWN_BYTES = 16_384


class RejectedEventAnswer(Answer):
    """A message from the bus that could not become an event. `tenant` is what it said, as far as it could be read."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant_slug")
    reason = serializers.ChoiceField(choices=RejectReason.choices)
    detail = serializers.CharField()
    topic = serializers.CharField()
    kafka_partition = serializers.IntegerField()
    kafka_offset = serializers.IntegerField()
    rejected_at = serializers.SerializerMethodField()

    def get_rejected_at(self, row: RejectedEvent) -> datetime:
        return id_time(row.pk)


class WholeRejectedEventAnswer(RejectedEventAnswer):
    """With the message's first bytes as text."""

    value = serializers.SerializerMethodField("first_bytes")

    def first_bytes(self, row: RejectedEvent) -> str:
        return bytes(row.value)[:SHOWN_BYTES].decode(errors="replace")


class RejectedEventQuery(PageOfIds):
    tenant = Slug(required=False)
    reason = serializers.ChoiceField(choices=RejectReason.choices, required=False)
    since = Moment(required=False)
    until = Moment(required=False)


RejectedEvents = listing(RejectedEventAnswer, "RejectedEvents")


class RejectedEventApi(Api):
    def rows(self) -> QuerySet[RejectedEvent]:
        """Those of no known tenant are the platform's."""
        rows = RejectedEvent.objects.all()
        if self.principal.tenant_ids(Permission.VIEW) is None:
            return rows
        return rows.filter(tenant_slug__in=self.visible(tenants(), "pk").values("slug"))


class RejectedEventList(RejectedEventApi):
    @operation("list_rejected_events", Permission.VIEW, answer=RejectedEvents, query=RejectedEventQuery)
    def get(self, request: Request) -> Response:
        query: dict[str, Any] = RejectedEventQuery.of(request.query_params)
        rows = self.rows().defer("value", "headers", "key")
        if "tenant" in query:
            rows = rows.filter(tenant_slug=self.named_tenant(query["tenant"]).slug)
        if "reason" in query:
            rows = rows.filter(reason=query["reason"])
        return page(request, in_window(rows, query), query, lambda found: RejectedEventAnswer(found, many=True).data)


class RejectedEventDetail(RejectedEventApi):
    @operation("read_rejected_event", Permission.VIEW, answer=WholeRejectedEventAnswer, tagged=True)
    def get(self, request: Request, pk: UUID) -> Response:
        row = self.rows().filter(pk=pk).first()
        if row is None:
            raise Http404
        return one(request, WholeRejectedEventAnswer(row).data)
