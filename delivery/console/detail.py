"""What a delivery's page shows: the part that lives, and what stands still beside it."""

from __future__ import annotations

import json
from datetime import datetime

import orjson
from django.conf import settings

from audit.models import AuditEntry
from delivery.console import curl
from delivery.console.story import facts as story
from delivery.console.story.ahead import ahead_of
from delivery.console.story.facts import EXCERPT_BYTES, Facts
from delivery.console.story.holding import hold_of
from delivery.console.story.standing import standing_of
from delivery.console.story.time_spent import spent_of
from delivery.console.story.timeline import timeline
from delivery.models import Attempt, Delivery, LinkKind
from delivery.rebuilt import Rebuilt, rebuilt
from delivery.replay import why_approval
from delivery.states import DeliveryStatus
from delivery.work_orders.linking import orders_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.tracing.w3c import trace_id_of

__all__ = ["EXCERPT_BYTES", "live_context", "pretty_event", "still_context"]

# Longer bodies are cut, and a command with one is a page of its own.
SHOWN_BODY_BYTES = 32 * 1024
# What is written to the trail of an endpoint or a subscription without changing what is sent.
_NO_CHANGE = ("endpoint.test_sent", "endpoint.failing", "endpoint.paused", "endpoint.resumed", "endpoint.disabled")


def live_context(delivery: Delivery, principal: Principal, now: datetime) -> dict[str, object]:
    """For _delivery.html."""
    facts = story.read(delivery, now)
    return {
        "delivery": delivery,
        "is_open": facts.is_open,
        "standing": standing_of(facts),
        "hold": hold_of(facts),
        "line": facts.line,
        "blocks_its_key": delivery.state is DeliveryStatus.DEAD and facts.line is not None,
        "steps": timeline(facts, settings.KAFKA_EVENTS_TOPIC),
        "left_out": facts.left_out,
        "spent": spent_of(facts),
        "ahead": ahead_of(facts),
        "siblings": facts.siblings,
        "alert": facts.alert,
        "trace_id": trace_id_of(delivery.event.traceparent),
        "needs_approval": why_approval(delivery),
        "changes": changes_since(facts, facts.last),
        **_may(principal, delivery),
    }


def still_context(delivery: Delivery, principal: Principal) -> dict[str, object]:
    """For the rest of delivery.html."""
    sent = rebuilt(delivery)
    may_send = principal.may(Permission.OPERATE, delivery.tenant_id) and curl.is_possible(sent)
    return {
        "sent": sent,
        "sent_body": sent.body[:SHOWN_BODY_BYTES].decode("utf-8", "replace"),
        "sent_body_cut": len(sent.body) > SHOWN_BODY_BYTES,
        "curl_is_possible": may_send,
        "curl": _command(sent) if may_send else "",
        "orders": orders_of(LinkKind.DELIVERY, delivery.pk),
        "event_json": pretty_event(bytes(delivery.event.body)),
    }


def changes_since(facts: Facts, attempt: Attempt | None) -> list[AuditEntry]:
    """What changed after it in the settings that shape the request, oldest first."""
    if attempt is None:
        return []
    of_settings = facts.entries_of(f"endpoint:{facts.delivery.endpoint_id}")
    return [
        entry
        for entry in of_settings
        if entry.at > attempt.started_at and entry.action.startswith("endpoint.") and entry.action not in _NO_CHANGE
    ]


def pretty_event(body: bytes) -> str:
    """The event as indented JSON; what is no JSON stands as it is."""
    try:
        return json.dumps(orjson.loads(body), indent=2, ensure_ascii=False)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _command(sent: Rebuilt) -> str:
    return curl.command(sent) if len(sent.body) <= SHOWN_BODY_BYTES else ""


def _may(principal: Principal, delivery: Delivery) -> dict[str, bool]:
    return {
        "may_replay": principal.may(Permission.REPLAY, delivery.tenant_id),
        "may_operate": principal.may(Permission.OPERATE, delivery.tenant_id),
        "may_administer": principal.may(Permission.ADMINISTER, delivery.tenant_id),
    }
