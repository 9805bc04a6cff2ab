"""What is said on the bus about an endpoint's health, pure: `endpoint.failing` and `endpoint.disabled`, version 1."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from delivery.health.breaker import Health
from eventcenter.envelope import Envelope, timestamp_text

FAILING_TYPE = "endpoint.failing"
DISABLED_TYPE = "endpoint.disabled"
SOURCE = "/event-center/endpoints"
FAILING = "failing"  # `cause` of a disabled one: nothing came through for as long as the settings allow
GONE = "gone"  # it answered 410


@dataclass(frozen=True, slots=True)
class About:
    """The endpoint by its names; never its address, which can hold a secret."""

    endpoint_id: int
    tenant: str
    slug: str


def failing(about: About, health: Health, percent: int, limit: timedelta, now: datetime) -> Envelope:
    """`health` has failing_since. The id is the same for one warning of one outage, however often it is made."""
    assert health.failing_since is not None
    data = {
        "endpoint": about.slug,
        "failing_since": timestamp_text(health.failing_since),
        "percent": percent,
        "disabled_after_hours": round(limit / timedelta(hours=1), 2),
        "failures_in_a_row": health.consecutive,
        "reason": health.reason or None,
    }
    return _envelope(FAILING_TYPE, about, f"{_outage(about, health)}-{percent}", data, now)


def disabled_failing(about: About, health: Health, reason: str, now: datetime) -> Envelope:
    data = _disabled(about, FAILING, reason, health.failing_since, now)
    return _envelope(DISABLED_TYPE, about, f"{_outage(about, health)}-disabled", data, now)


def disabled_gone(about: About, delivery_id: str, reason: str, now: datetime) -> Envelope:
    """`delivery_id`: whose answer it was."""
    data = _disabled(about, GONE, reason, None, now)
    return _envelope(DISABLED_TYPE, about, f"{about.endpoint_id}-{delivery_id}-{GONE}", data, now)


def _disabled(about: About, cause: str, reason: str, since: datetime | None, now: datetime) -> dict[str, object]:
    return {
        "endpoint": about.slug,
        "cause": cause,
        "reason": reason,
        "failing_since": timestamp_text(since) if since else None,
        "disabled_at": timestamp_text(now),
    }


def _outage(about: About, health: Health) -> str:
    assert health.failing_since is not None
    return f"{about.endpoint_id}-{health.failing_since:%Y%m%dT%H%M%S.%fZ}"


def _envelope(event_type: str, about: About, event_id: str, data: dict[str, object], now: datetime) -> Envelope:
    return Envelope(
        id=event_id,
        source=SOURCE,
        type=event_type,
        subject=about.slug,
        time=now,
        tenant=about.tenant,
        data=orjson.dumps(data),
    )
