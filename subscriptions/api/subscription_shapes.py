from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from eventcenter.api.events import EventAnswer
from eventcenter.api.fields import QueryTruth, QueryWhole, Slug, Text, Truth, Whole
from eventcenter.api.shapes import Answer, Body, PageOfNumbers, Query, listing
from subscriptions.api.refusals import warnings_of
from subscriptions.checks import MAX_TAG_CHARS, MAX_TAGS, MAX_TYPE_CHARS, MAX_TYPES
from subscriptions.dry_run import LOOKS_MOST
from subscriptions.models import Ordering, Subscription
from subscriptions.retry_policy import KNOWN_FIELDS, NAMED_POLICIES

FILTERS_SCHEMA = {
    "type": "array",
    "items": {"type": "object", "minProperties": 1, "maxProperties": 1},
    "description": "CloudEvents Subscriptions filters; all must hold. Each is one of exact, prefix, suffix, all, any, not.",
    "example": [{"prefix": {"subject": "payments-"}}],
}
POLICY_SCHEMA = {
    "oneOf": [
        {"type": "string", "enum": list(NAMED_POLICIES)},
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "enum": list(NAMED_POLICIES)},
                "schedule_s": {"type": "array", "items": {}, "description": "Seconds, or text such as 5m; 0 first."},
                "jitter_share": {"type": "number", "minimum": 0, "maximum": 1},
                "max_age_s": {"description": "Seconds, or text such as 2d."},
                "permanent_statuses": {"type": "array", "items": {"type": "integer"}},
            },
            "additionalProperties": False,
        },
    ],
    "description": "A named policy, or one with fields of its own; null: the standard one.",
}
assert set(POLICY_SCHEMA["oneOf"][1]["properties"]) == KNOWN_FIELDS  # type: ignore[index]


class AsItIs(serializers.Field[Any, Any, Any, Any]):
    """JSON that the form judges."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(FILTERS_SCHEMA)
class Filters(AsItIs):
    default_error_messages = {"invalid": "takes a list of filters"}  # noqa: RUF012 - the base's way

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, list):
            self.fail("invalid")
        return data


@extend_schema_field(POLICY_SCHEMA)
class Policy(AsItIs):
    pass


def types_field(**more: Any) -> serializers.ListField:
    child = Text(max_length=MAX_TYPE_CHARS)
    words = "Event types, exact or with a last '.*'."
    return serializers.ListField(child=child, min_length=1, max_length=MAX_TYPES, help_text=words, **more)


def tags_field(**more: Any) -> serializers.ListField:
    words = "The event has at least one of these; none: any event."
    return serializers.ListField(child=Text(max_length=MAX_TAG_CHARS), max_length=MAX_TAGS, help_text=words, **more)


class SubscriptionChange(Body):
    """What is left out stays as it is."""

    slug = Slug(required=False)
    endpoint = Whole(required=False, min_value=1, help_text="The endpoint's id.")
    types = types_field(required=False)
    tags = tags_field(required=False)
    filters = Filters(required=False)
    ordering = serializers.ChoiceField(choices=Ordering.choices, required=False)
    retry_policy = Policy(required=False, allow_null=True)
    active = Truth(required=False)


class SubscriptionBody(SubscriptionChange):
    tenant = Slug(required=False, help_text="May be left out by who has one tenant only.")
    slug = Slug()
    endpoint = Whole(min_value=1, help_text="The endpoint's id.")
    types = types_field()


class EndpointRef(Answer):
    id = serializers.IntegerField()
    slug = serializers.CharField()


class SubscriptionAnswer(Answer):
    """`warnings` says what a change of it should heed."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    endpoint = EndpointRef()
    types = serializers.ListField(child=serializers.CharField())
    tags = serializers.ListField(child=serializers.CharField())
    filters = Filters()
    ordering = serializers.ChoiceField(choices=Ordering.choices)
    retry_policy = Policy(allow_null=True)
    active = serializers.BooleanField()
    managed_by = serializers.CharField()
    warnings = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_warnings(self, row: Subscription) -> list[str]:
        return warnings_of(row.managed_by)


class SubscriptionQuery(PageOfNumbers):
    tenant = Slug(required=False)
    endpoint = QueryWhole(required=False, min_value=1, help_text="The endpoint's id.")
    type = Text(required=False, max_length=MAX_TYPE_CHARS, help_text="Those that name this type or pattern.")
    active = QueryTruth(required=False)


Subscriptions = listing(SubscriptionAnswer, "Subscriptions")


class LookBack(Query):
    last = QueryWhole(default=100, min_value=1, max_value=LOOKS_MOST, help_text="How many of the last events.")


class DryRunBody(Body):
    """A rule that is not kept."""

    tenant = Slug(required=False, help_text="May be left out by who has one tenant only.")
    types = types_field()
    tags = tags_field(required=False, default=list)
    filters = Filters(required=False, default=list)
    last = Whole(default=100, min_value=1, max_value=LOOKS_MOST, help_text="How many of the last events.")


class DryRunItem(Answer):
    """`failed`: the first rule that did not hold (types, tags, filters[0] …); null for an event that matches."""

    event = EventAnswer()
    matches = serializers.BooleanField()
    failed = serializers.CharField(allow_null=True)


class DryRunAnswer(Answer):
    """Newest first."""

    looked_at = serializers.IntegerField()
    matched = serializers.IntegerField()
    items = DryRunItem(many=True)
