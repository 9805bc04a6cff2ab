"""Serializer fields that take what the document says and nothing near it: DRF's own take 1 for true and 5 for "5"."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

SLUG_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
TRACE_ID_PATTERN = "^[0-9a-f]{32}$"
_TRACE_ID = re.compile(TRACE_ID_PATTERN[1:-1])
_SLUG = re.compile(SLUG_PATTERN[1:-1])
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Text(serializers.CharField):
    """Kept as it is sent, spaces too."""

    default_error_messages: ClassVar = {"invalid": "takes text"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"trim_whitespace": False} | kwargs))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


@extend_schema_field({"type": "string", "pattern": SLUG_PATTERN, "example": "ci-cd"})
class Slug(Text):
    default_error_messages: ClassVar = {"slug": "takes 1–63 of a–z, 0–9 and '-', not '-' at an end"}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not _SLUG.fullmatch(text):
            self.fail("slug")
        return text


@extend_schema_field({"type": "string", "pattern": TRACE_ID_PATTERN, "example": "0af7651916cd43dd8448eb211c80319c"})
class TraceId(Text):
    default_error_messages: ClassVar = {"trace_id": "takes 32 of 0–9 and a–f, as W3C Trace Context writes a trace-id"}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not _TRACE_ID.fullmatch(text):
            self.fail("trace_id")
        return text


class Truth(serializers.BooleanField):
    default_error_messages: ClassVar = {"invalid": "takes true or false"}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class Whole(serializers.IntegerField):
    default_error_messages: ClassVar = {"invalid": "takes a whole number"}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():  # JSON Schema counts 5.0 as an integer
            data = int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Number(serializers.FloatField):
    default_error_messages: ClassVar = {"invalid": "takes a number"}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(data)


class Moment(serializers.DateTimeField):
    """A time with its zone."""

    default_error_messages: ClassVar = {
        "moment": 'takes an ISO 8601 time with its zone, such as "2025-11-05T12:00:00Z"'
    }

    def to_internal_value(self, value: Any) -> datetime:
        try:
            at = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or not 1970 < at.year < 9999:
            self.fail("moment")
        return at.astimezone(UTC)


@extend_schema_field(OpenApiTypes.UUID)
class Uuid(serializers.Field[Any, Any, Any, Any]):
    default_error_messages: ClassVar = {"invalid": "takes a UUID"}

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str) or not _UUID.fullmatch(data):
            self.fail("invalid")
        return UUID(data)

    def to_representation(self, value: Any) -> str:
        return str(value)


class QueryWhole(Whole):
    """Of a URL's query, where all is text."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not _WHOLE.fullmatch(data):
            self.fail("invalid")
        return int(data)


class QueryTruth(Truth):
    def to_internal_value(self, data: Any) -> bool:
        if data not in ("true", "false"):
            self.fail("invalid")
        return bool(data == "true")
