from __future__ import annotations

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api
from eventcenter.api.etags import one
from eventcenter.api.fields import QueryTruth, Text
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, PageOfNumbers, listing
from eventcenter.models import EventType


class EventTypeAnswer(Answer):
    """One version of an event type; `schema` is the JSON Schema of an event's data."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    version = serializers.IntegerField()
    description = serializers.CharField()
    active = serializers.BooleanField()
    schema = serializers.DictField()
    updated_at = serializers.DateTimeField()


class EventTypeQuery(PageOfNumbers):
    name = Text(required=False, max_length=200, help_text="Exact.")
    active = QueryTruth(required=False)


EventTypes = listing(EventTypeAnswer, "EventTypes")


class EventTypeList(Api):
    @operation("list_event_types", Permission.VIEW, answer=EventTypes, query=EventTypeQuery)
    def get(self, request: Request) -> Response:
        """They are the same for all tenants."""
        query = EventTypeQuery.of(request.query_params)
        wanted = {name: query[name] for name in ("name", "active") if name in query}
        rows = EventType.objects.filter(**wanted)
        return page(request, rows, query, lambda found: EventTypeAnswer(found, many=True).data)


class EventTypeDetail(Api):
    @operation("read_event_type", Permission.VIEW, answer=EventTypeAnswer, tagged=True)
    def get(self, request: Request, pk: int) -> Response:
        row = EventType.objects.filter(pk=pk).first()
        if row is None or not self.principal.may_anywhere(Permission.VIEW):
            raise Http404
        return one(request, EventTypeAnswer(row).data)
