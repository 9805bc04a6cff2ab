"""The spans and their attributes: the table behind docs/operations/tracing.md, which a test compares with it. Pure.

Names are those of the OpenTelemetry semantic conventions 1.30 and later: HTTP spans ("{method} {route}"), messaging spans
("{operation} {destination}"), and for what they do not know, `event_center.…`.
"""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.trace import SpanKind

EVENT_ID = "event_center.event.id"
EVENT_TYPE = "event_center.event.type"
TENANT_ID = "event_center.tenant.id"
DELIVERIES = "event_center.deliveries"
DELIVERY_ID = "event_center.delivery.id"
DELIVERY_STATUS = "event_center.delivery.status"
NEXT_ATTEMPT_AT = "event_center.delivery.next_attempt_at"
ATTEMPT = "event_center.attempt.number"
OUTCOME = "event_center.attempt.outcome"
ROUND = "event_center.delivery.round"
ENDPOINT_ID = "event_center.endpoint.id"
SUBSCRIPTION_ID = "event_center.subscription.id"
CHANNEL = "event_center.channel"
REQUEST_ID = "event_center.request.id"
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
HTTP_RESEND = "http.request.resend_count"
PEER_ADDRESS = "network.peer.address"
PEER_PORT = "network.peer.port"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_OPERATION = "messaging.operation.name"
MESSAGING_TYPE = "messaging.operation.type"
MESSAGING_BATCH = "messaging.batch.message_count"
MESSAGING_PARTITION = "messaging.destination.partition.id"
MESSAGING_OFFSET = "messaging.kafka.offset"
MESSAGING_ID = "messaging.message.id"

PLAN = "plan"
DELIVERY_SEND = "delivery send"
DELIVERY_REPLAY = "delivery replay"


class SpanRow(NamedTuple):
    """One kind of span. `name` as the page shows it; `made_by`: the process."""

    name: str
    kind: SpanKind
    made_by: str
    attributes: tuple[str, ...]


_BUS = (MESSAGING_SYSTEM, MESSAGING_DESTINATION, MESSAGING_OPERATION, MESSAGING_TYPE)
SPANS = (
    SpanRow(
        "{method} {route}",
        SpanKind.SERVER,
        "web",
        (HTTP_METHOD, HTTP_ROUTE, HTTP_STATUS, ERROR_TYPE, REQUEST_ID),
    ),
    SpanRow("create {topic}", SpanKind.PRODUCER, "web, consumer and others", _BUS),
    SpanRow("send {topic}", SpanKind.PRODUCER, "web, relay and others", (*_BUS, MESSAGING_ID, ERROR_TYPE)),
    SpanRow(
        "process {topic}",
        SpanKind.CONSUMER,
        "consumer",
        (
            *_BUS,
            MESSAGING_ID,
            MESSAGING_BATCH,
            MESSAGING_PARTITION,
            MESSAGING_OFFSET,
            EVENT_ID,
            EVENT_TYPE,
            TENANT_ID,
        ),
    ),
    SpanRow(PLAN, SpanKind.INTERNAL, "consumer", (EVENT_ID, DELIVERIES)),
    SpanRow(
        DELIVERY_SEND,
        SpanKind.CLIENT,
        "worker, retry",
        (
            DELIVERY_ID,
            ENDPOINT_ID,
            SUBSCRIPTION_ID,
            TENANT_ID,
            CHANNEL,
            ATTEMPT,
            ROUND,
            OUTCOME,
            DELIVERY_STATUS,
            NEXT_ATTEMPT_AT,
            HTTP_METHOD,
            HTTP_STATUS,
            HTTP_RESEND,
            PEER_ADDRESS,
            PEER_PORT,
            ERROR_TYPE,
        ),
    ),
    SpanRow(DELIVERY_REPLAY, SpanKind.INTERNAL, "web, replays", (DELIVERY_ID, ROUND)),
)
