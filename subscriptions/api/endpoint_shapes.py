from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from eventcenter.api.fields import Number, Slug, Text, Whole
from eventcenter.api.shapes import Answer, Body, PageOfNumbers, listing
from subscriptions.api.refusals import warnings_of
from subscriptions.models import (
    MAX_IN_FLIGHT,
    MAX_RATE_PER_S,
    MAX_ROTATE_DAYS,
    MIN_RATE_PER_S,
    Channel,
    ContentMode,
    Endpoint,
    EndpointState,
    Lane,
    Signing,
)
from subscriptions.routing import open_credentials, open_headers
from subscriptions.templating import TEMPLATES
from subscriptions.webhook_rules import MAX_HEADERS, MAX_URL_CHARS, without_query

SETTINGS_WORDS = "By their names; secret ones are kept sealed and never shown. In a change, null takes one away."


@extend_schema_field({"type": "object", "additionalProperties": {}, "description": SETTINGS_WORDS})
class SettingsField(serializers.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": "takes an object of settings"}  # noqa: RUF012 - the base's way

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.fail("invalid")
        return dict(data)

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "maxProperties": MAX_HEADERS,
        "description": "Custom headers: name → value. They replace all that there are; null or {} removes them.",
        "example": {"x-team": "payments"},
    }
)
class HeadersField(serializers.Field[Any, Any, Any, Any]):
    default_error_messages = {  # noqa: RUF012 - the base's way
        "invalid": "takes an object of header names and their values, which are text",
        "most": f"takes at most {MAX_HEADERS}",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, Mapping) or not all(isinstance(value, str) for value in data.values()):
            self.fail("invalid")
        if len(data) > MAX_HEADERS:
            self.fail("most")
        return dict(data)

    def to_representation(self, value: Any) -> Any:
        return value


class EndpointChange(Body):
    """What is left out stays as it is."""

    slug = Slug(required=False)
    name = Text(required=False, allow_blank=True, max_length=200)
    url = Text(required=False, max_length=MAX_URL_CHARS, help_text="For webhooks.")
    content_mode = serializers.ChoiceField(choices=ContentMode.choices, required=False)
    timeout_s = Number(required=False, min_value=0.1, max_value=20)
    rate_limit = Number(
        required=False,
        allow_null=True,
        min_value=MIN_RATE_PER_S,
        max_value=MAX_RATE_PER_S,
        help_text="Requests per second; null: no limit.",
    )
    max_in_flight = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_IN_FLIGHT)
    lane = serializers.ChoiceField(choices=Lane.choices, required=False)
    rotate_every_days = Whole(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_ROTATE_DAYS,
        help_text="When its secret is due for rotation; null: the system's default.",
    )
    settings = SettingsField(required=False)
    template = serializers.ChoiceField(choices=list(TEMPLATES), required=False, allow_blank=True)
    template_params = SettingsField(required=False)
    headers = HeadersField(required=False, allow_null=True)


class EndpointBody(EndpointChange):
    tenant = Slug(required=False, help_text="May be left out by who has one tenant only.")
    slug = Slug()
    channel = serializers.ChoiceField(choices=Channel.choices, default=Channel.WEBHOOK.value)
    signing = serializers.ChoiceField(choices=Signing.choices, required=False, help_text="v1: HMAC; v1a: ed25519.")


class EndpointAnswer(Answer):
    """Of secrets and headers the names only. `url` is shown without its query to who may not change it."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant.slug")
    slug = serializers.CharField()
    name = serializers.CharField()
    channel = serializers.ChoiceField(choices=Channel.choices)
    url = serializers.SerializerMethodField()
    content_mode = serializers.ChoiceField(choices=ContentMode.choices)
    timeout_s = serializers.FloatField()
    rate_limit = serializers.FloatField(allow_null=True)
    max_in_flight = serializers.IntegerField(allow_null=True)
    lane = serializers.ChoiceField(choices=Lane.choices)
    signing = serializers.ChoiceField(choices=Signing.choices)
    rotate_every_days = serializers.IntegerField(allow_null=True)
    settings = SettingsField(source="config")
    template = serializers.CharField()
    template_params = SettingsField()
    secret_settings = serializers.SerializerMethodField()
    headers = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=EndpointState.choices)
    state_reason = serializers.CharField()
    managed_by = serializers.CharField()
    warnings = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_url(self, row: Endpoint) -> str:
        return row.url if self.context["whole_url"](row) else without_query(row.url)

    def get_secret_settings(self, row: Endpoint) -> list[str]:
        return sorted(open_credentials(row))

    def get_headers(self, row: Endpoint) -> list[str]:
        return [name for name, _ in open_headers(row)]

    def get_warnings(self, row: Endpoint) -> list[str]:
        return warnings_of(row.managed_by)


class NewEndpointAnswer(Answer):
    """`secret` is what the receiver checks signatures with (of v1a, the public key). It is not shown again; null where
    the channel is not signed."""

    endpoint = EndpointAnswer()
    secret = serializers.CharField(allow_null=True)


class EndpointQuery(PageOfNumbers):
    tenant = Slug(required=False)
    channel = serializers.ChoiceField(choices=Channel.choices, required=False)
    state = serializers.ChoiceField(choices=EndpointState.choices, required=False)


Endpoints = listing(EndpointAnswer, "Endpoints")


class SecretAnswer(Answer):
    """Ages, never values."""

    id = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    signing = serializers.ChoiceField(choices=Signing.choices)
    public_key = serializers.CharField(help_text="Of v1a.")
    age_days = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Null: until it is rotated or revoked.")
    signs = serializers.BooleanField()


class SecretsAnswer(Answer):
    items = SecretAnswer(many=True)


class NewSecretAnswer(Answer):
    """`secret` is what the receiver checks signatures with (of v1a, the public key). It is not shown again."""

    secret = serializers.CharField()
