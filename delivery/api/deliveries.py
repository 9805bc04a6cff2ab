from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.cancelling import cancel
from delivery.models import Attempt, Delivery
from delivery.states import DeliveryStatus
from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, not_possible
from eventcenter.api.etags import one
from eventcenter.api.events import in_window
from eventcenter.api.fields import Moment, QueryWhole, Slug, Text, Uuid
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, PageOfIds, listing
from eventcenter.models import Event
from eventcenter.tracing.w3c import trace_id_of
from subscriptions.api.subscription_shapes import EndpointRef
from subscriptions.models import Endpoint, Subscription

SHOWN_BYTES = 16_384


class EventRef(Answer):
    id = serializers.UUIDField()
    type = serializers.CharField()
    subject = serializers.CharField()
    trace_id = serializers.SerializerMethodField()

    def get_trace_id(self, event: Event) -> str:
        return trace_id_of(event.traceparent)


class SubscriptionRef(Answer):
    id = serializers.IntegerField()
    slug = serializers.CharField()


class DeliveryAnswer(Answer):
    """One event to one subscription; `id` is the webhook-id that the receiver saw."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    event = EventRef()
    subscription = SubscriptionRef()
    endpoint = EndpointRef()
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    attempts = serializers.IntegerField()
    replays = serializers.IntegerField()
    accepted_at = serializers.DateTimeField(source="planned_at")
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    held_reason = serializers.CharField()
    finished_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
    dead_reason = serializers.CharField()
    last_status_code = serializers.IntegerField(allow_null=True)
    last_error_kind = serializers.CharField()


class AttemptAnswer(Answer):
    """One try. Of the receiver's answer the status and the first bytes; its headers are shown nowhere."""

    number = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    duration_ms = serializers.FloatField()
    outcome = serializers.CharField()
    status_code = serializers.IntegerField(allow_null=True)
    error_kind = serializers.CharField()
    error = serializers.CharField()
    response_body = serializers.SerializerMethodField()
    remote_address = serializers.CharField()
    replay = serializers.BooleanField()

    def get_response_body(self, attempt: Attempt) -> str:
        return bytes(attempt.response_body)[:SHOWN_BYTES].decode(errors="replace")


class AttemptsAnswer(Answer):
    """The newest first; a delivery has some tens at most."""

    items = AttemptAnswer(many=True)


class DeliveryQuery(PageOfIds):
    tenant = Slug(required=False)
    endpoint = QueryWhole(required=False, min_value=1, help_text="The endpoint's id.")
    subscription = QueryWhole(required=False, min_value=1, help_text="The subscription's id.")
    status = serializers.MultipleChoiceField(choices=DeliveryStatus.choices, required=False, allow_empty=False)
    event = Uuid(required=False, help_text="The event's id.")
    type = Text(required=False, max_length=200, help_text="The event's type, exact.")
    since = Moment(required=False, help_text="Events accepted at that time or later.")
    until = Moment(required=False, help_text="Events accepted before that time.")


Deliveries = listing(DeliveryAnswer, "Deliveries")
ATTEMPTS_MOST = 500


class DeliveryApi(Api):
    def rows(self) -> QuerySet[Delivery]:
        return Delivery.objects.for_console()


class DeliveryList(DeliveryApi):
    @operation("list_deliveries", Permission.VIEW, answer=Deliveries, query=DeliveryQuery)
    def get(self, request: Request) -> Response:
        query = DeliveryQuery.of(request.query_params)
        rows = self._owned(self.visible(self.rows()), query)
        if "status" in query:
            rows = rows.filter(status__in=query["status"])
            rows = rows.filter(dead_at__isnull=False) if query["status"] == {DeliveryStatus.DEAD.value} else rows
        if "type" in query:
            rows = rows.filter(event__type=query["type"])
        return page(request, in_window(rows, query), query, lambda found: DeliveryAnswer(found, many=True).data)

    def _owned(self, rows: QuerySet[Delivery], query: dict[str, Any]) -> QuerySet[Delivery]:
        """With the tenant that each filter implies: the indexes begin with it."""
        if "tenant" in query:
            rows = rows.filter(tenant_id=self.named_tenant(query["tenant"]).pk)
        if "endpoint" in query:
            endpoint = self.named("endpoint", Endpoint.everything.all(), pk=query["endpoint"])
            rows = rows.filter(tenant_id=endpoint.tenant_id, endpoint_id=endpoint.pk)
        if "subscription" in query:
            subscription = self.named("subscription", Subscription.everything.all(), pk=query["subscription"])
            rows = rows.filter(tenant_id=subscription.tenant_id, subscription_id=subscription.pk)
        if "event" in query:
            event = self.named("event", Event.objects.defer("body"), pk=query["event"])
            rows = _of_event(rows, event)
        return rows


def _of_event(rows: QuerySet[Delivery], event: Event) -> QuerySet[Delivery]:
    """A delivery's id begins with its event's time, so they lie together (eventcenter.ids.derived_id)."""
    first, last = event.pk.int >> 80 << 80, event.pk.int | (1 << 80) - 1
    return rows.filter(tenant_id=event.tenant_id, event_id=event.pk, pk__range=(UUID(int=first), UUID(int=last)))


class DeliveryDetail(DeliveryApi):
    @operation("read_delivery", Permission.VIEW, answer=DeliveryAnswer, tagged=True)
    def get(self, request: Request, pk: object) -> Response:
        return one(request, DeliveryAnswer(self.find(self.rows(), pk=pk)).data)


class DeliveryCancel(DeliveryApi):
    @operation("cancel_delivery", Permission.OPERATE, answer=DeliveryAnswer, refusals=(409,))
    def post(self, request: Request, pk: UUID) -> Response:
        """An open delivery ends here: no further attempt is made. One that is cancelled already is answered as it is; 409
        when it ended otherwise."""
        delivery = self.find(self.rows(), pk=pk)
        result = None if delivery.state is DeliveryStatus.CANCELLED else cancel(pk, self.principal.actor)
        if result is not None:
            delivery.refresh_from_db()
        if result is not None and not result and delivery.state is not DeliveryStatus.CANCELLED:
            raise not_possible(result.refusal)
        return Response(DeliveryAnswer(delivery).data)


class AttemptList(DeliveryApi):
    @operation("list_attempts", Permission.VIEW, answer=AttemptsAnswer)
    def get(self, request: Request, pk: object) -> Response:
        delivery = self.find(self.rows(), pk=pk)
        found = Attempt.objects.filter(delivery_id=delivery.pk).order_by("-number")[:ATTEMPTS_MOST]
        return Response(AttemptsAnswer({"items": found}).data)
