from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, done
from eventcenter.api.etags import one, require_match
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Strict
from subscriptions import governing
from subscriptions.api.refusals import told
from subscriptions.api.subscription_shapes import (
    SubscriptionAnswer,
    SubscriptionBody,
    SubscriptionChange,
    SubscriptionQuery,
    Subscriptions,
)
from subscriptions.forms.subscription_values import SubscriptionValues
from subscriptions.models import Endpoint, Subscription


def read(shape: type[Strict], request: Request) -> dict[str, Any]:
    """The call's body. Raises ValidationError."""
    data = shape(data=request.data)
    data.is_valid(raise_exception=True)
    return dict(data.validated_data)


EXAMPLE = OpenApiExample(
    "Stable releases of the payment plugins",
    {
        "slug": "payments-releases",
        "endpoint": 7,
        "types": ["plugin.release.*"],
        "tags": ["stable"],
        "filters": [{"prefix": {"subject": "payments-"}}],
        "retry_policy": {"name": "quick", "max_age_s": "30m"},
    },
    request_only=True,
)


class SubscriptionApi(Api):
    def rows(self) -> QuerySet[Subscription]:
        return Subscription.objects.select_related("tenant", "endpoint")

    def subscription(self, pk: int) -> Subscription:
        return self.find(self.rows(), pk=pk)

    def endpoint_of(self, given: dict[str, Any], tenant_id: int) -> None:
        """An endpoint of another tenant is not known, whoever asks."""
        if "endpoint" in given:
            self.named("endpoint", Endpoint.objects.filter(tenant_id=tenant_id), pk=given["endpoint"])


class SubscriptionList(SubscriptionApi):
    @operation("list_subscriptions", Permission.VIEW, answer=Subscriptions, query=SubscriptionQuery)
    def get(self, request: Request) -> Response:
        query = SubscriptionQuery.of(request.query_params)
        rows = self.visible(self.rows())
        if "tenant" in query:
            rows = rows.filter(tenant_id=self.named_tenant(query["tenant"]).pk)
        if "endpoint" in query:
            rows = rows.filter(endpoint=self.named("endpoint", Endpoint.objects.all(), pk=query["endpoint"]))
        if "type" in query:
            rows = rows.filter(types__contains=[query["type"]])
        if "active" in query:
            rows = rows.filter(active=query["active"])
        return page(request, rows, query, lambda found: SubscriptionAnswer(found, many=True).data)

    @operation(
        "create_subscription",
        Permission.ADMINISTER,
        answer=SubscriptionAnswer,
        status=HTTPStatus.CREATED,
        body=SubscriptionBody,
        refusals=(409,),
        tagged=True,
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        given = read(SubscriptionBody, request)
        tenant = self.tenant(given.pop("tenant", None))
        self.endpoint_of(given, tenant.pk)
        with told():
            form = SubscriptionValues(Subscription(tenant_id=tenant.pk), given)
            row = governing.create_subscription(form, self.principal.actor)
        body = SubscriptionAnswer(self.rows().get(pk=row.pk)).data
        return one(request, body, HTTPStatus.CREATED, Location=reverse("api-subscription", args=[row.pk]))


class SubscriptionDetail(SubscriptionApi):
    @operation("read_subscription", Permission.VIEW, answer=SubscriptionAnswer, tagged=True)
    def get(self, request: Request, pk: int) -> Response:
        return one(request, SubscriptionAnswer(self.subscription(pk)).data)

    @operation(
        "change_subscription",
        Permission.ADMINISTER,
        answer=SubscriptionAnswer,
        body=SubscriptionChange,
        refusals=(409,),
        tagged=True,
        matched=True,
    )
    def patch(self, request: Request, pk: int) -> Response:
        """From the next event on; what was planned before goes as it was planned."""
        row = self.subscription(pk)
        given = read(SubscriptionChange, request)
        self.endpoint_of(given, row.tenant_id)

        def edit(locked: Subscription) -> SubscriptionValues:
            require_match(request, SubscriptionAnswer(locked).data)
            return SubscriptionValues(locked, given)

        with told():
            governing.change_subscription(pk, self.principal.actor, edit)
        return one(request, SubscriptionAnswer(self.rows().get(pk=pk)).data)

    @operation("delete_subscription", Permission.ADMINISTER, status=HTTPStatus.NO_CONTENT, matched=True)
    def delete(self, request: Request, pk: int) -> Response:
        """No event goes to it from now on; what was planned before is still delivered. Old deliveries keep its name."""
        self.subscription(pk)
        with told():
            governing.delete_subscription(
                pk, self.principal.actor, lambda locked: require_match(request, SubscriptionAnswer(locked).data)
            )
        return done()


class SubscriptionPause(SubscriptionApi):
    @operation("pause_subscription", Permission.OPERATE, answer=SubscriptionAnswer)
    def post(self, request: Request, pk: int) -> Response:
        """Events pass it by until it is resumed; what was planned before is still delivered."""
        governing.set_active(self.subscription(pk), False, self.principal.actor)
        return Response(SubscriptionAnswer(self.subscription(pk)).data)


class SubscriptionResume(SubscriptionApi):
    @operation("resume_subscription", Permission.OPERATE, answer=SubscriptionAnswer)
    def post(self, request: Request, pk: int) -> Response:
        governing.set_active(self.subscription(pk), True, self.principal.actor)
        return Response(SubscriptionAnswer(self.subscription(pk)).data)
