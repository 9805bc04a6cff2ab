"""What the APIs of approvals and of work orders share: who asks, strict bodies and queries, keyset pages, refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from delivery.console.paging import Cursor, page_of
from eventcenter.access.authentication import AnyIdentity
from eventcenter.access.principal import Principal, principal_of
from eventcenter.intake import refuse_oversize
from eventcenter.problems import FieldError, Problem

Fields = serializers.Serializer[Any]
M = TypeVar("M", bound=Model)

REFUSALS = {
    400: "Something in the call is wrong; `errors` names each field.",
    401: "No valid identity.",
    403: "It can be seen, but not done, with this identity.",
    404: "There is no such object, or it is not yours to see.",
    409: "The present state does not allow it; `detail` says why.",
    411: "A chunked body.",
    413: "The body is too large.",
    415: "Another media type than application/json.",
    503: "The database is away; Retry-After says when to try again.",
}
OF_EACH = (401, 403, 404, 503)
WITH_BODY = (400, 411, 413, 415)


def refusals(*more: int) -> dict[int, OpenApiResponse]:
    return {code: OpenApiResponse(description=REFUSALS[code]) for code in sorted({*OF_EACH, *more})}


class OversightApi(APIView):
    """An API key, a publish key's signature or a session; what it may do, the services say."""

    authentication_classes = (AnyIdentity,)
    permission_classes = (IsAuthenticated,)
    parser_classes = (JSONParser,)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        refuse_oversize(request)  # before the body is read for a signature
        super().initial(request, *args, **kwargs)

    @property
    def principal(self) -> Principal:
        return principal_of(self.request)


class Strict(Fields):
    """Names every member that it does not know, instead of passing over it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(str(name) for name in set(data) - set(self.fields))):
            takes = ", ".join(self.fields)
            raise serializers.ValidationError({name: [f"is not known; takes {takes}"] for name in unknown})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text as it is sent; DRF's own takes numbers, too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


def read(shape: type[Fields], data: object) -> dict[str, Any]:
    """Raises ValidationError that names each wrong field."""
    found = shape(data=data)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def page(rows: QuerySet[M], query: Mapping[str, Any], show: Callable[[list[M]], object]) -> Response:
    found = page_of(rows, Cursor(before=query.get("before")))
    return Response({"items": show(found.rows), "next": str(found.older) if found.older else None})


def wrong(problems: Mapping[str, str]) -> Problem:
    errors = [FieldError(name, message) for name, message in problems.items()]
    return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong; nothing was changed.", errors)


def not_possible(words: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, "not-possible", words)


def forbidden(words: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, "forbidden", words)


def found_or_404(rows: QuerySet[M], key: object) -> M:
    row = rows.filter(pk=key).first()
    if row is None:
        raise Http404
    return row
