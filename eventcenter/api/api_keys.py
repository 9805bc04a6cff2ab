"""API keys: a key's text is in the one answer that made it, and nowhere else."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.keys import NAME_LENGTH_MOST, ApiKeyError, create_api_key, revoke_api_key
from eventcenter.access.models import ApiKey
from eventcenter.access.roles import KEY_SCOPES, Permission
from eventcenter.api.base import Api, forbidden
from eventcenter.api.etags import one
from eventcenter.api.fields import Moment, QueryTruth, Slug, Text
from eventcenter.api.operation import operation
from eventcenter.api.paging import page
from eventcenter.api.shapes import Answer, Body, PageOfNumbers, listing
from eventcenter.problems import FieldError, Problem

SCOPES = [scope.value for scope in KEY_SCOPES]


class ApiKeyAnswer(Answer):
    id = serializers.CharField(source="key_id", help_text="ak_…; the part of the key that may be shown.")
    tenant = serializers.CharField(source="tenant.slug")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewApiKeyAnswer(Answer):
    """`text` is what a program sends as `Authorization: Bearer <text>`. It is not shown again."""

    key = ApiKeyAnswer()
    text = serializers.CharField()


class ApiKeyBody(Body):
    tenant = Slug(required=False, help_text="May be left out by who has one tenant only.")
    name = Text(max_length=NAME_LENGTH_MOST, help_text="What uses it.")
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES), min_length=1, max_length=len(SCOPES))
    expires_at = Moment(required=False, allow_null=True, default=None, help_text="Null: until it is revoked.")


class ApiKeyQuery(PageOfNumbers):
    tenant = Slug(required=False)
    revoked = QueryTruth(required=False)


ApiKeys = listing(ApiKeyAnswer, "ApiKeys")


EXAMPLE = OpenApiExample("A dashboard", {"name": "Dashboard", "scopes": ["view"]}, request_only=True)


class ApiKeyApi(Api):
    def rows(self) -> QuerySet[ApiKey]:
        return ApiKey.objects.select_related("tenant")

    def key(self, key_id: str) -> ApiKey:
        return self.find(self.rows(), key_id=key_id)


class ApiKeyList(ApiKeyApi):
    @operation("list_api_keys", Permission.ADMINISTER, answer=ApiKeys, query=ApiKeyQuery)
    def get(self, request: Request) -> Response:
        query = ApiKeyQuery.of(request.query_params)
        allowed = self.principal.tenant_ids(Permission.ADMINISTER)
        rows = self.rows() if allowed is None else self.rows().filter(tenant_id__in=allowed)
        if "tenant" in query:
            rows = rows.filter(tenant_id=self.tenant(query["tenant"]).pk)
        if "revoked" in query:
            rows = rows.filter(revoked_at__isnull=not query["revoked"])
        return page(request, rows, query, lambda found: ApiKeyAnswer(found, many=True).data)

    @operation(
        "create_api_key",
        Permission.ADMINISTER,
        answer=NewApiKeyAnswer,
        status=HTTPStatus.CREATED,
        body=ApiKeyBody,
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """A key gets no scope that its maker has not; one that a key makes ends with that key at the latest."""
        data = ApiKeyBody(data=request.data)
        data.is_valid(raise_exception=True)
        given = data.validated_data
        tenant = self.tenant(given.get("tenant"))
        for scope in given["scopes"]:
            if not self.principal.may(Permission(scope), tenant.pk):
                raise forbidden((Permission(scope),))
        try:
            made = create_api_key(
                tenant.pk,
                given["name"],
                given["scopes"],
                self.principal.actor,
                self._end(given["expires_at"]),
                created_by_id=self.principal.user_id,
            )
        except ApiKeyError as error:
            errors = [FieldError(error.field, str(error))]
            raise Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong.", errors) from None
        made.key.refresh_from_db()
        body = NewApiKeyAnswer({"key": made.key, "text": made.text}).data
        headers = {"Location": reverse("api-key", args=[made.key.key_id]), "Cache-Control": "no-store"}
        return Response(body, status=HTTPStatus.CREATED, headers=headers)

    def _end(self, wanted: datetime | None) -> datetime | None:
        own = ApiKey.objects.filter(key_id=self.principal.name.removeprefix("key:")).first()
        if own is None or own.expires_at is None:
            return wanted
        return min(wanted, own.expires_at) if wanted else own.expires_at


class ApiKeyDetail(ApiKeyApi):
    @operation("read_api_key", Permission.ADMINISTER, answer=ApiKeyAnswer, tagged=True)
    def get(self, request: Request, key_id: str) -> Response:
        return one(request, ApiKeyAnswer(self.key(key_id)).data)


class ApiKeyRevoke(ApiKeyApi):
    @operation("revoke_api_key", Permission.ADMINISTER, answer=ApiKeyAnswer, refusals=(409,))
    def post(self, request: Request, key_id: str) -> Response:
        """It ends with the next request."""
        key = self.key(key_id)
        if not revoke_api_key(key, self.principal.actor):
            raise Problem(HTTPStatus.CONFLICT, "not-possible", "It was revoked already.")
        key.refresh_from_db()
        return Response(ApiKeyAnswer(key).data)
