"""The minute counters against a recount of what they count."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from delivery import store
from delivery.counters import LATENCY_BOUNDS_MS, percentile_ms
from delivery.models import Attempt, Delivery, DeliveryCounter, Dispatch
from delivery.outcome import ErrorKind, Outcome, OutcomeKind
from delivery.replay import replay
from delivery.results import judge, result_row
from delivery.worker.held import Batch, Held
from subscriptions.retry_policy import RetryPolicy
from tests.delivery.test_replay import ACTOR
from tests.delivery.worker.desk import dispatch
from tests.factories import DeliveryFactory, SubscriptionFactory

POLICY = RetryPolicy(schedule_s=(0, 0, 0), jitter_share=0)
OUTCOMES = (
    Outcome(OutcomeKind.DELIVERED, 204),
    Outcome(OutcomeKind.FAILED, 500, ErrorKind.HTTP_STATUS),
    Outcome(OutcomeKind.FAILED, None, ErrorKind.TIMEOUT),
    Outcome(OutcomeKind.THROTTLED, 429, ErrorKind.HTTP_STATUS),
    Outcome(OutcomeKind.PERMANENT, None, ErrorKind.BAD_URL),
    Outcome(OutcomeKind.DEFERRED, error_kind=ErrorKind.IN_FLIGHT_CAP, retry_after_s=0),
)


class Run:
    """Rounds of results for some deliveries, recorded as workers do, with a count kept beside."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.deferred: Counter[int] = Counter()
        self.latencies: dict[int, list[float]] = {}
        subscriptions = SubscriptionFactory.create_batch(3)
        now = timezone.now()
        for number in range(40):
            accepted_at = now - timedelta(milliseconds=self.dice.choice((1, 30, 400, 3_000, 100_000)))
            DeliveryFactory(subscription=subscriptions[number % 3], accepted_at=accepted_at)

    def round(self, shard: int) -> None:
        deliveries = list(Delivery.objects.open())
        if not deliveries:
            return
        hint = dispatch(deliveries)
        batch = Batch(hint.dispatch_id, 1, len(deliveries))
        claimed = store.claim(hint.dispatch_id, 0, "w", 25)
        assert claimed is not None
        now, rows = timezone.now(), []
        for loaded in store.load(claimed._replace(planned_for=now + timedelta(days=1))):
            held, outcome = Held(batch, loaded, POLICY), self.dice.choice(OUTCOMES)
            row = result_row(held, outcome, judge(held, outcome, now, 0.0), now)
            self.note(loaded.endpoint_id, row)
            # Some results come twice, some from a worker that has lost its lease: neither may count.
            rows.append(row)
            if self.dice.random() < 0.2:
                store.record([row._replace(token=7)], [], "late", shard)
        for start in range(0, len(rows), 16):
            store.record(rows[start : start + 16], [], "w", shard)
            if self._all_ended(rows[start : start + 3]):
                store.record(rows[start : start + 3], [], "w", shard)
        store.delete_dispatches([(hint.dispatch_id, 1)])

    def _all_ended(self, rows: list[store.ResultRow]) -> bool:
        return all(row.status in ("delivered", "dead") for row in rows)

    def note(self, endpoint_id: int, row: store.ResultRow) -> None:
        self.deferred[endpoint_id] += row.outcome == "deferred"
        if row.latency_ms is not None:
            self.latencies.setdefault(endpoint_id, []).append(row.latency_ms)

    def replay_some(self) -> None:
        for delivery in Delivery.objects.exclude(status__in=("pending", "retrying"))[:10]:
            assert replay(delivery.pk, ACTOR)
        Dispatch.objects.all().delete()


def recount(endpoint_id: int) -> dict[str, int]:
    attempts = list(Attempt.objects.filter(delivery__endpoint_id=endpoint_id))
    good = [row for row in attempts if row.outcome == "delivered"]
    return {
        "attempts": len(attempts),
        "first_attempts": sum(row.number == 1 for row in attempts),
        "first_delivered": sum(row.number == 1 for row in good),
        "delivered": len(good),
        "failed": len(attempts) - len(good),
        "retried": sum(row.number > 1 for row in attempts),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", [1, 20, 300])
def test_counters_equal_a_recount_of_the_rows_after_a_mixed_run(seed: int, empty_queues: None) -> None:
    run = Run(seed)
    for shard in (1, 2, 1):
        run.round(shard)
    died_before_replay = {pk: Delivery.objects.filter(endpoint_id=pk).dead().count() for pk in endpoints()}
    run.replay_some()
    replayed_dead = {
        pk: n - Delivery.objects.filter(endpoint_id=pk).dead().count() for pk, n in died_before_replay.items()
    }
    for shard in (2, 3, 3):
        run.round(shard)
    assert DeliveryCounter.objects.values("shard").distinct().count() == 3
    for endpoint_id in endpoints():
        rows = list(DeliveryCounter.objects.filter(endpoint_id=endpoint_id))
        expected = recount(endpoint_id)
        assert {name: sum(getattr(row, name) for row in rows) for name in expected} == expected
        assert sum(row.deferred for row in rows) == run.deferred[endpoint_id]
        dead_now = Delivery.objects.filter(endpoint_id=endpoint_id).dead().count()
        assert sum(row.dead for row in rows) == dead_now + replayed_dead[endpoint_id]
        histogram(rows, run.latencies.get(endpoint_id, []))


def endpoints() -> list[int]:
    return list(Delivery.objects.values_list("endpoint_id", flat=True).distinct())


def histogram(rows: list[DeliveryCounter], latencies: list[float]) -> None:
    expected = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    for latency in latencies:
        expected[bisect_right(LATENCY_BOUNDS_MS, latency)] += 1
    assert [sum(column) for column in zip(*(row.latency_buckets for row in rows), strict=True)] == expected
    assert sum(row.latency_ms_sum for row in rows) == sum(round(latency) for latency in latencies)


# --- Percentiles ---


def buckets_of(latencies: list[float]) -> list[int]:
    counts = Counter(bisect_right(LATENCY_BOUNDS_MS, latency) for latency in latencies)
    return [counts[place] for place in range(len(LATENCY_BOUNDS_MS) + 1)]


def test_there_is_no_percentile_when_nothing_was_counted() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([0] * 13, 0.99) is None


def test_percentile_is_the_last_bound_when_it_lies_beyond() -> None:
    assert percentile_ms(buckets_of([1e9]), 0.5) == LATENCY_BOUNDS_MS[-1]


@given(st.lists(st.floats(0, 59_999), min_size=1, max_size=60), st.floats(0.01, 1))
def test_percentile_lies_in_the_bucket_of_the_true_one(latencies: list[float], share: float) -> None:
    found = percentile_ms(buckets_of(latencies), share)
    assert found is not None
    rank = share * len(latencies)
    true = sorted(latencies)[max(-int(-rank // 1) - 1, 0)]
    place = bisect_right(LATENCY_BOUNDS_MS, true)
    low = (0, *LATENCY_BOUNDS_MS)[place]
    assert low <= found <= LATENCY_BOUNDS_MS[place]


@given(st.lists(st.floats(0, 59_999), min_size=1, max_size=60))
def test_percentiles_rise_with_the_share(latencies: list[float]) -> None:
    found = [percentile_ms(buckets_of(latencies), share) or 0.0 for share in (0.1, 0.5, 0.95, 0.99)]
    assert found == sorted(found)
