from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, not_possible, tenants
from eventcenter.api.etags import one
from eventcenter.api.events import in_window
from eventcenter.api.fields import Moment, QueryTruth, Slug
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, PageOfIds, listing
from eventcenter.ids import id_time
from eventcenter.models import RejectedEvent, RejectedEventQuerySet, RejectReason
from eventcenter.reingest import Fate, reingest, tenant_id_of

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
    reingested_at = serializers.DateTimeField(allow_null=True)
    reingested_by = serializers.CharField()
    reingested_as = serializers.UUIDField(allow_null=True, help_text="The event that it became, or is a duplicate of.")
    reingested_duplicate = serializers.BooleanField()

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
    waiting = QueryTruth(required=False, help_text="true: those that nobody has sent on again; false: the others.")


class ReingestAnswer(Answer):
    """What it came to. `duplicate`: the event has its idempotency key already, so nothing was sent."""

    event = serializers.UUIDField()
    duplicate = serializers.BooleanField()


RejectedEvents = listing(RejectedEventAnswer, "RejectedEvents")


class RejectedEventApi(Api):
    def rows(self) -> RejectedEventQuerySet:
        """Those of no known tenant are the platform's."""
        rows: RejectedEventQuerySet = RejectedEvent.objects.all()
        if self.principal.tenant_ids(Permission.VIEW) is None:
            return rows
        return rows.filter(tenant_slug__in=self.visible(tenants(), "pk").values("slug"))

    def one(self, pk: UUID) -> RejectedEvent:
        """Raises Http404."""
        row = self.rows().filter(pk=pk).first()
        if row is None:
            raise Http404
        return row


class RejectedEventList(RejectedEventApi):
    @operation("list_rejected_events", Permission.VIEW, answer=RejectedEvents, query=RejectedEventQuery)
    def get(self, request: Request) -> Response:
        query: dict[str, Any] = RejectedEventQuery.of(request.query_params)
        rows = self.rows().for_list()
        if "tenant" in query:
            rows = rows.filter(tenant_slug=self.named_tenant(query["tenant"]).slug)
        if "reason" in query:
            rows = rows.filter(reason=query["reason"])
        if "waiting" in query:
            rows = rows.filter(reingested_at__isnull=query["waiting"])
        return page(request, in_window(rows, query), query, lambda found: RejectedEventAnswer(found, many=True).data)


class RejectedEventDetail(RejectedEventApi):
    @operation("read_rejected_event", Permission.VIEW, answer=WholeRejectedEventAnswer, tagged=True)
    def get(self, request: Request, pk: UUID) -> Response:
        return one(request, WholeRejectedEventAnswer(self.one(pk)).data)


class RejectedEventReingest(RejectedEventApi):
    @operation("reingest_rejected_event", Permission.OPERATE, answer=ReingestAnswer, refusals=(409,))
    def post(self, request: Request, pk: UUID) -> Response:
        """It goes to the bus once more, under its own id and idempotency key. Refused while it would still be rejected.

        Asked again, it answers what it came to, and sends nothing.
        """
        row = self.one(pk)
        self.require(tenant_id_of(row))
        (verdict,) = reingest([pk], self.principal.actor)
        if verdict.fate is Fate.REFUSED:
            raise not_possible(f"It would still be rejected: {verdict.detail}")
        return Response(ReingestAnswer({"event": verdict.event_id, "duplicate": verdict.is_duplicate}).data)
