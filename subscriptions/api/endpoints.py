from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import Permission
from eventcenter.api.base import Api, approval_needed, done
from eventcenter.api.etags import etag_of, one, require_match
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.problems import Problem
from subscriptions import governing, services
from subscriptions.api.endpoint_shapes import (
    EndpointAnswer,
    EndpointBody,
    EndpointChange,
    EndpointQuery,
    Endpoints,
    NewEndpointAnswer,
)
from subscriptions.api.refusals import told
from subscriptions.api.subscriptions import read
from subscriptions.forms.endpoint_values import EndpointValues
from subscriptions.models import Endpoint, EndpointState

EXAMPLES = [
    OpenApiExample(
        "A webhook",
        {"slug": "ci-cd", "url": "https://ci.example.com/hook", "headers": {"x-team": "payments"}, "rate_limit": 20},
        request_only=True,
    ),
    OpenApiExample(
        "A Kafka topic",
        {"slug": "lake", "channel": "kafka", "settings": {"cluster": "bus", "topic": "acme-releases"}},
        request_only=True,
    ),
]


class EndpointApi(Api):
    def rows(self) -> QuerySet[Endpoint]:
        return Endpoint.objects.select_related("tenant")

    def endpoint(self, pk: int) -> Endpoint:
        return self.find(self.rows(), pk=pk)

    def shown(self, row: Endpoint) -> dict[str, Any]:
        return dict(EndpointAnswer(row, context=self._context()).data)

    def shown_all(self, rows: list[Endpoint]) -> object:
        return EndpointAnswer(rows, many=True, context=self._context()).data

    def _context(self) -> dict[str, Any]:
        return {"whole_url": lambda row: self.principal.may(Permission.ADMINISTER, row.tenant_id)}


class EndpointList(EndpointApi):
    @operation("list_endpoints", Permission.VIEW, answer=Endpoints, query=EndpointQuery)
    def get(self, request: Request) -> Response:
        query = EndpointQuery.of(request.query_params)
        rows = self.visible(self.rows())
        if "tenant" in query:
            rows = rows.filter(tenant_id=self.named_tenant(query["tenant"]).pk)
        wanted = {name: query[name] for name in ("channel", "state") if name in query}
        return page(request, rows.filter(**wanted), query, self.shown_all)

    @operation(
        "create_endpoint",
        Permission.ADMINISTER,
        answer=NewEndpointAnswer,
        status=HTTPStatus.CREATED,
        body=EndpointBody,
        refusals=(409,),
        tagged=True,
        examples=EXAMPLES,
    )
    def post(self, request: Request) -> Response:
        """The ETag is the endpoint's."""
        given = read(EndpointBody, request)
        tenant = self.tenant(given.pop("tenant", None))
        with told():
            form = EndpointValues(Endpoint(tenant_id=tenant.pk), given)
            row, secret = governing.create_endpoint(form, self.principal.actor)
        shown = self.shown(self.rows().get(pk=row.pk))
        headers = {"Location": reverse("api-endpoint", args=[row.pk]), "ETag": etag_of(shown)}
        headers |= {"Cache-Control": "no-store"}
        return Response({"endpoint": shown, "secret": secret}, status=HTTPStatus.CREATED, headers=headers)


class EndpointDetail(EndpointApi):
    @operation("read_endpoint", Permission.VIEW, answer=EndpointAnswer, tagged=True)
    def get(self, request: Request, pk: int) -> Response:
        return one(request, self.shown(self.endpoint(pk)))

    @operation(
        "change_endpoint",
        Permission.ADMINISTER,
        answer=EndpointAnswer,
        body=EndpointChange,
        refusals=(409,),
        tagged=True,
        matched=True,
    )
    def patch(self, request: Request, pk: int) -> Response:
        """The channel stays what it was: past deliveries went by it."""
        self.endpoint(pk)
        given = read(EndpointChange, request)

        def edit(locked: Endpoint) -> EndpointValues:
            require_match(request, self.shown(locked))
            return EndpointValues(locked, given)

        with told():
            governing.change_endpoint(pk, self.principal.actor, edit)
        return one(request, self.shown(self.rows().get(pk=pk)))

    @operation("delete_endpoint", Permission.ADMINISTER, status=HTTPStatus.NO_CONTENT, refusals=(409,), matched=True)
    def delete(self, request: Request, pk: int) -> Response:
        """What is still to be delivered there becomes dead. 409 while a subscription sends to it. Old deliveries keep its
        name."""
        self.endpoint(pk)
        with told():
            governing.delete_endpoint(
                pk, self.principal.actor, lambda locked: require_match(request, self.shown(locked))
            )
        return done()


class EndpointPause(EndpointApi):
    @operation("pause_endpoint", Permission.OPERATE, answer=EndpointAnswer, refusals=(409,))
    def post(self, request: Request, pk: int) -> Response:
        """Its deliveries are held; no attempt is spent. A disabled endpoint cannot be paused."""
        row = self.endpoint(pk)
        services.pause(row, self.principal.actor, f"Paused by {self.principal.name}.")
        return self._now(pk, EndpointState.PAUSED)

    def _now(self, pk: int, wanted: EndpointState) -> Response:
        row = self.endpoint(pk)
        if row.state != wanted:
            raise Problem(HTTPStatus.CONFLICT, "not-possible", f"It is {row.state}.")
        return Response(self.shown(row))


class EndpointResume(EndpointPause):
    @operation("resume_endpoint", Permission.OPERATE, answer=EndpointAnswer, refusals=(409,))
    def post(self, request: Request, pk: int) -> Response:
        """From paused or disabled back to work. 409 `approval-needed` where the system disabled it: a second person must
        agree, see `create_approval`."""
        resumed = services.resume(self.endpoint(pk), self.principal.actor)
        if not resumed and services.needs_approval(self.endpoint(pk)):
            raise approval_needed("The system disabled the endpoint, not a hand.")
        return self._now(pk, EndpointState.ENABLED)
