"""What the page of one subscriber shows that changes from minute to minute: one bounded query for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from delivery.console.subscribers import store
from delivery.console.subscribers.store import Blocked, Fault, Recent, Sighted, Waiting, Wanted
from delivery.console.subscribers.trouble import Condition, Rank, Rates, condition_of, rank_of
from delivery.console.subscribers.verdict import Verdict, failing_from, verdict
from delivery.limiting.places import in_flight
from delivery.models import Alert, Attempt, Breaker, Delivery
from delivery.objectives.report import total
from delivery.telemetry.steps import by_step
from delivery.telemetry.sums import HOUR, Sums, hour_of
from subscriptions.models import Endpoint, Ordering, Subscription

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
SHOWN_ATTEMPTS, OF_DELIVERIES = 12, 40
ALERTS_MOST = 20

Steps = Mapping[datetime, Sums]


@dataclass(frozen=True, slots=True)
class Limits:
    """`rate` and `at_once` None: no limit of its own. Now used: `per_s` over the last whole minute; `in_flight` is known for
    an endpoint with a cap while Redis answers, else None."""

    rate: float | None
    tenant_rate: float | None
    at_once: int | None
    per_s: float
    in_flight: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """`spans`: label → rates of 5 minutes, an hour, a day. `backlog` by reason; of `total_waiting` there may be more."""

    sighted: Sighted
    rank: Rank
    condition: Condition
    verdict: Verdict
    spans: Mapping[str, Rates]
    minutes: Steps
    hours: Steps
    breaker: Breaker | None
    limits: Limits
    backlog: Sequence[Waiting]
    blocked: Sequence[Blocked]
    recent: Recent
    faults: Sequence[Fault]
    attempts: Sequence[tuple[Attempt, Delivery]]
    alerts: Sequence[Alert]

    @property
    def total_waiting(self) -> int:
        return min(sum(each.count for each in self.backlog), store.BACKLOG_MOST)

    @property
    def waits_more(self) -> bool:
        return sum(each.count for each in self.backlog) > store.BACKLOG_MOST

    @property
    def has_results(self) -> bool:
        return bool(self.spans["24 hours"].attempts)


def health_of(endpoint: Endpoint, subscriptions: Sequence[Subscription], now: datetime) -> Health:
    """`subscriptions`: all that ever led to it, deleted ones too."""
    [sighted] = store.sighted(Wanted(endpoint_id=endpoint.pk), now)
    minutes, hours = _steps(endpoint.pk, now)
    spans = _spans(minutes, hours, now)
    recent = store.recent(endpoint.tenant_id, endpoint.pk, [row.pk for row in subscriptions], now)
    faults = store.faults(recent.ids, now - HOUR)
    rank = rank_of(sighted.signs, now)
    breaker = Breaker.objects.filter(pk=endpoint.pk).first()
    since = sighted.signs.failing_since or (breaker.opened_at if breaker and breaker.state != "closed" else None)
    return Health(
        sighted=sighted,
        rank=rank,
        condition=condition_of(rank, sighted.signs),
        verdict=verdict(rank, faults, since or failing_from(minutes), spans["1 hour"].attempts),
        spans=spans,
        minutes=minutes,
        hours=hours,
        breaker=breaker,
        limits=_limits(endpoint, minutes, now),
        backlog=store.backlog(endpoint.pk),
        blocked=store.blocked([row.pk for row in subscriptions if row.ordering == Ordering.BLOCK]),
        recent=recent,
        faults=faults,
        attempts=_attempts(recent),
        alerts=list(Alert.objects.filter(endpoint_id=endpoint.pk, resolved_at=None).order_by("-pk")[:ALERTS_MOST]),
    )


def _steps(endpoint_id: int, now: datetime) -> tuple[Steps, Steps]:
    """The sixty whole minutes before this one with it so far, and whole hours up to now. Two queries."""
    this = now.replace(second=0, microsecond=0)
    minutes = by_step(this - HOUR, this + MINUTE, MINUTE, endpoint_id=endpoint_id)
    hours = by_step(hour_of(now) - DAY + HOUR, this + MINUTE, HOUR, endpoint_id=endpoint_id)
    return minutes, hours


def _spans(minutes: Steps, hours: Steps, now: datetime) -> dict[str, Rates]:
    since = now - timedelta(minutes=5) - MINUTE
    return {
        "5 minutes": Rates.of(total(sums for minute, sums in minutes.items() if minute > since)),
        "1 hour": Rates.of(total(minutes.values())),
        "24 hours": Rates.of(total(hours.values())),
    }


def _limits(endpoint: Endpoint, minutes: Steps, now: datetime) -> Limits:
    last = minutes.get(now.replace(second=0, microsecond=0) - MINUTE, Sums())
    used = in_flight(settings.REDIS_URL, endpoint.pk) if endpoint.max_in_flight else None
    return Limits(endpoint.rate_limit, endpoint.tenant.rate_limit, endpoint.max_in_flight, last.attempts / 60, used)


def _attempts(recent: Recent) -> list[tuple[Attempt, Delivery]]:
    """The last ones to the newest deliveries. Indexes: primary keys; the bounds prune the days."""
    ids = recent.ids[:OF_DELIVERIES]
    if not ids:
        return []
    rows = Attempt.objects.filter(delivery_id__in=ids, delivery_id__gte=min(ids), delivery_id__lte=max(ids))
    found = list(rows.defer("response_body", "response_headers").order_by("-started_at")[:SHOWN_ATTEMPTS])
    shown = {attempt.delivery_id for attempt in found}
    deliveries = Delivery.objects.select_related("event").defer("event__body").filter(pk__in=shown)
    by_id = {row.pk: row for row in deliveries.filter(pk__range=(min(shown), max(shown)))} if shown else {}
    return [(attempt, by_id[attempt.delivery_id]) for attempt in found if attempt.delivery_id in by_id]
