"""Bases of what the API takes (Body, Query) and gives (Answer), for the views and for the document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from eventcenter.api.fields import QueryWhole, Uuid

Fields = serializers.Serializer[Any]

PAGE_ROWS, PAGE_ROWS_MOST = 50, 200


class Answer(Fields):
    """What the API gives: plain data."""


class Strict(Fields):
    """Names every member that it does not know, instead of passing over it."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(str(name) for name in set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        errors: dict[str, Any] = {name: [f"is not known; takes {', '.join(self.fields)}"] for name in unknown}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if isinstance(error.detail, dict):
                errors |= error.detail
        if errors:
            raise serializers.ValidationError(errors)
        return values


class Body(Strict):
    """A JSON object that a call sends."""


class Query(Strict):
    """A call's filters."""

    @classmethod
    def of(cls, query: QueryDict) -> dict[str, Any]:
        """Raises ValidationError that names each wrong or unknown parameter. What is not given is left out."""
        found = cls(data={name: cls._given(name, values) for name, values in query.lists()})
        found.is_valid(raise_exception=True)
        return dict(found.validated_data)

    @classmethod
    def _given(cls, name: str, values: list[str]) -> object:
        """A parameter that is given several times is a list, for the fields that take one; others refuse it."""
        field = cls().fields.get(name)
        takes_several = isinstance(field, serializers.ListField | serializers.MultipleChoiceField)
        return values[0] if len(values) == 1 and not takes_several else values


def _limit() -> QueryWhole:
    return QueryWhole(default=PAGE_ROWS, min_value=1, max_value=PAGE_ROWS_MOST, help_text="Items a page.")


class PageOfNumbers(Query):
    limit = _limit()
    before = QueryWhole(required=False, min_value=1, help_text="Older than this id; `next` has it.")


class PageOfIds(Query):
    limit = _limit()
    before = Uuid(required=False, help_text="Older than this id; `next` has it.")


def listing(item: type[Fields], name: str) -> type[Answer]:
    """A page of such items, newest first."""
    following = serializers.CharField(allow_null=True, help_text="The next page's address; null at the end.")
    return type(name, (Answer,), {"items": item(many=True), "next": following, "__doc__": f"A page of {name}."})


class StrictInDocument(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = Body
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> Any:
        mapped: Any = auto_schema._map_serializer
        schema = mapped(self.target, direction, bypass_extensions=True)
        return schema | {"additionalProperties": False}


class ProblemField(Answer):
    """One wrong field, with what it takes."""

    field = serializers.CharField()
    message = serializers.CharField()
    index = serializers.IntegerField(required=False, help_text="The event's place in a batch, from 0.")


class ProblemDetails(Answer):
    """RFC 9457. `type` is for programs, `detail` for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemField(many=True, required=False)  # type: ignore[assignment]
    request_id = serializers.CharField(required=False, help_text="The answer's X-Request-ID; log lines have it too.")
