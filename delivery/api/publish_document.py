"""What the document says of the publish call: its media types, and what each is answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer
from rest_framework import serializers

from eventcenter.api.operation import problem_response
from eventcenter.api.shapes import Answer
from eventcenter.envelope import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    V1_BATCH_CONTENT_TYPE,
    V1_CONTENT_TYPE,
)
from eventcenter.problems import PROBLEM_JSON


class ReceiptAnswer(Answer):
    """`id` is the Event Center's; of a duplicate, the first one's."""

    id = serializers.UUIDField()
    duplicate = serializers.BooleanField()


class PublishAnswer(Answer):
    """One receipt for each event, in their order. What is told here is committed."""

    events = ReceiptAnswer(many=True)


class ReplayReceiptAnswer(Answer):
    id = serializers.UUIDField(help_text="The replay's.")
    count = serializers.IntegerField(help_text="How many deliveries it takes.")
    approval = serializers.UUIDField(required=False, help_text="What a second person is asked first.")


class PublishReplayAnswer(Answer):
    replay = ReplayReceiptAnswer()


TEXT = {"type": "string", "minLength": 1}
EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A CloudEvent in the JSON event format; extensions are members of their own.",
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": TEXT,
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {**TEXT, "description": "A registered event type."},
        "subject": TEXT,
        "time": {"type": "string", "format": "date-time"},
        "tenant": {"type": "string", "description": "The key's; may be left out."},
        "tags": {"type": "string", "description": "Separated by commas."},
        "idempotencykey": TEXT,
        "partitionkey": TEXT,
        "datacontenttype": {"type": "string"},
        "dataschema": {"type": "string"},
        "data": {"description": "By the JSON Schema of the event type."},
        "data_base64": {"type": "string"},
    },
    "required": ["specversion", "id", "source", "type"],
}
V1_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "The form from before CloudEvents; docs/standards/events/event-envelope-v1.schema.json has all of it.",
    "properties": {
        "version": {"const": 1},
        "event": {**TEXT, "description": "A registered event type."},
        "event_id": TEXT,
        "source": TEXT,
        "occurred_at": {"type": "string", "format": "date-time"},
        "tenant": {"type": "string", "description": "The key's; may be left out."},
        "subject": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "payload": {"description": "By the JSON Schema of the event type."},
    },
    "required": ["version", "event", "event_id", "source"],
}
REPLAY: dict[str, Any] = {
    "type": "object",
    "description": "Replays all ended deliveries of an event.",
    "properties": {
        "replay": {
            "type": "object",
            "properties": {"event": {"type": "string", "format": "uuid"}},
            "required": ["event"],
            "additionalProperties": False,
        }
    },
    "required": ["replay"],
    "additionalProperties": False,
}
SAMPLE = {
    "specversion": "1.0",
    "id": "release-2.4.1",
    "source": "/pipelines/release",
    "type": "plugin.release.published",
    "subject": "payments-gateway",
    "data": {"plugin_id": "payments-gateway", "version": "2.4.1"},
}
SIGNATURE = "Of a publish key's signature (Standard Webhooks), with x-publish-key. Not with an API key."

PUBLISH: dict[str, Any] = {
    "operation_id": "publish_events",
    "summary": "Publish events, or replay one",
    "description": (
        "CloudEvents: one in structured mode, a batch, or one in binary mode (any other media type, with ce- headers); or "
        "v1, one or a batch. "
        "202 means committed: from here on the event cannot be lost. Nothing of a refused batch is kept. "
        "application/json with `replay` begins a replay instead.\n\nTakes the permission `publish`, or `replay`."
    ),
    "parameters": [
        OpenApiParameter(name, str, OpenApiParameter.HEADER, description=SIGNATURE)
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
    "request": {
        STRUCTURED_CONTENT_TYPE: EVENT,
        BATCH_CONTENT_TYPE: {"type": "array", "items": EVENT, "maxItems": 1000},
        V1_CONTENT_TYPE: V1_EVENT,
        V1_BATCH_CONTENT_TYPE: {"type": "array", "items": V1_EVENT, "maxItems": 1000},
        "application/json": REPLAY,
    },
    "responses": {
        202: PolymorphicProxySerializer(
            "PublishOrReplayAnswer", [PublishAnswer, PublishReplayAnswer], resource_type_field_name=None
        ),
        (422, PROBLEM_JSON): problem_response(422),
    },
    "examples": [OpenApiExample("A release", SAMPLE, request_only=True, media_type=STRUCTURED_CONTENT_TYPE)],
}
