"""What one tenant's flood does to another tenant's fresh events, in three cases:

a backlog: many deliveries of one tenant were planned before any worker ran, and are being worked off;
a slow endpoint: one of another tenant's endpoints takes 10 s for each answer, and new events for it keep coming;
a recovery: an endpoint with ten thousand waiting deliveries answers again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass

import requests  # noqa: TID251 - asks our own sinks for their counts

from delivery.bench.processes import Fleet, free_port
from delivery.bench.run import Tell, make_tenant, prepare, publish
from delivery.models import Delivery
from delivery.states import DeliveryStatus

# The bar, from the scenario: the 99th percentile of fresh events, publish to received.
FRESH_P99_MOST_MS = 1_000.0
FRESH_PER_S = 50.0
FRESH_S = 8.0  # shorter than the backlog takes, so that every fresh event meets it
SLOW_PER_S = 20.0
SLOW_S = 30.0
SLOW_HEAD_START_S = 10.0  # by then the slow endpoint's answers are as late as they get
SLOW_ANSWER_MS = 10_000.0
PLANNED_WITHIN_S = 120.0
ARRIVED_WITHIN_S = 30.0
POLL_S = 0.2
OUTAGE_EVENTS = 10_000
OUTAGE_HELD_WITHIN_S = 60.0
PROBED_WITHIN_S = 120.0
RECOVERY_S = 8.0
RAMP_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Fresh:
    """What became of the fresh events while the other tenant was flooding. Latencies in ms.

    `others_waiting`: how many of the flood's deliveries were open when the last fresh event was sent.
    """

    sent: int
    received: int
    latency_ms: dict[str, float]
    others_waiting: int

    @property
    def is_fair(self) -> bool:
        return self.received == self.sent and self.latency_ms.get("p99", float("inf")) <= FRESH_P99_MOST_MS


@dataclass(frozen=True, slots=True)
class Result:
    """`ramp`: what the recovered endpoint had received, every RAMP_EVERY_S from its first answer on."""

    backlog: Fresh
    slow_endpoint: Fresh
    recovery: Fresh
    ramp: tuple[int, ...] = ()

    @property
    def is_fair(self) -> bool:
        return self.backlog.is_fair and self.slow_endpoint.is_fair and self.recovery.is_fair


class Fairness:
    """Runs against the configured services, with tenants of its own."""

    def __init__(self, fleet: Fleet, waiting: int, workers: int, tell: Tell) -> None:
        self.fleet = fleet
        self.waiting = waiting
        self.workers = workers
        self.tell = tell
        name = fleet.env["BENCH_TENANT"]
        self.flooding, self.fresh, self.slow = f"{name}-flood", f"{name}-fresh", f"{name}-slow"
        self.down, self.down_port = f"{name}-down", free_port()
        make_tenant(self.down, f"http://127.0.0.1:{self.down_port}/hook", 1)
        self.fresh_sink = fleet.start_sink("sink-fresh")
        flood_sink = fleet.start_sink("sink-flood")
        slow_sink = fleet.start_sink("sink-slow", delay_ms=SLOW_ANSWER_MS)
        for tenant, sink in ((self.flooding, flood_sink), (self.fresh, self.fresh_sink), (self.slow, slow_sink)):
            make_tenant(tenant, f"{sink}/hook", 1)

    def __call__(self) -> Result:
        self.fleet.start_consumer()
        self.fleet.start_sweep()
        self._plan_backlog()
        for number in range(self.workers):
            self.fleet.start_worker(f"worker{number + 1}")
        _until(lambda: self._open(self.flooding) < self.waiting, PLANNED_WITHIN_S, "the workers do not start")
        backlog = self._measure(self.flooding, FRESH_S)
        self.tell(f"  {backlog}")
        _until(lambda: not self._open(self.flooding), PLANNED_WITHIN_S, "the backlog is not worked off")
        slow = self._beside_slow_endpoint()
        self.tell(f"  {slow}")
        recovery, ramp = self._beside_recovery()
        self.tell(f"  {recovery}")
        return Result(backlog, slow, recovery, ramp)

    def _plan_backlog(self) -> None:
        self.tell(f"fairness: {self.waiting} deliveries of one tenant are planned before the workers start")
        publish(prepare(self.flooding, self.waiting), rate=0)
        _until(lambda: self._open(self.flooding) >= self.waiting, PLANNED_WITHIN_S, "the backlog is not planned")

    def _beside_slow_endpoint(self) -> Fresh:
        self.tell(f"fairness: an endpoint that answers in {SLOW_ANSWER_MS / 1000:g} s, {SLOW_PER_S:g} events/s for it")
        prepared = prepare(self.slow, int(SLOW_PER_S * SLOW_S))
        stream = threading.Thread(target=publish, args=(prepared, SLOW_PER_S), daemon=True)
        stream.start()
        time.sleep(SLOW_HEAD_START_S)
        measured = self._measure(self.slow, SLOW_S - SLOW_HEAD_START_S)
        stream.join()
        return measured

    def _beside_recovery(self) -> tuple[Fresh, tuple[int, ...]]:
        self.tell(f"fairness: nobody answers for {OUTAGE_EVENTS} deliveries, then somebody does")
        publish(prepare(self.down, OUTAGE_EVENTS), rate=0)
        held = Delivery.objects.filter(tenant__slug=self.down).exclude(held_reason="")
        _until(lambda: held.count() >= OUTAGE_EVENTS * 0.9, OUTAGE_HELD_WITHIN_S, "the breaker does not hold them")
        sink = self.fleet.start_sink("sink-down", port=self.down_port)
        _until(lambda: self._received(sink), PROBED_WITHIN_S, "the breaker does not probe")
        ramp: list[int] = []
        watching = threading.Thread(target=self._watch_ramp, args=(sink, ramp), daemon=True)
        watching.start()
        measured = self._measure(self.down, RECOVERY_S)
        watching.join()
        return measured, tuple(ramp)

    def _watch_ramp(self, sink: str, ramp: list[int]) -> None:
        started = time.monotonic()
        for number in range(int(RECOVERY_S / RAMP_EVERY_S)):
            time.sleep(max(started + number * RAMP_EVERY_S - time.monotonic(), 0))
            ramp.append(self._received(sink))

    def _measure(self, other: str, seconds: float) -> Fresh:
        requests.post(f"{self.fresh_sink}/reset", timeout=5)
        sent = publish(prepare(self.fresh, int(FRESH_PER_S * seconds)), FRESH_PER_S)
        others_waiting = self._open(other)
        ends_at = time.monotonic() + ARRIVED_WITHIN_S
        while self._received(self.fresh_sink) < sent and time.monotonic() < ends_at:
            time.sleep(POLL_S)
        stats = requests.get(f"{self.fresh_sink}/stats", timeout=30).json()
        return Fresh(sent, int(stats["unique"]), stats["latency_ms"], others_waiting)

    @staticmethod
    def _received(sink: str) -> int:
        return int(requests.get(f"{sink}/count", timeout=30).json()["unique"])

    @staticmethod
    def _open(tenant: str) -> int:
        open_ = Delivery.objects.filter(tenant__slug=tenant)
        return open_.filter(status__in=[DeliveryStatus.PENDING, DeliveryStatus.RETRYING]).count()


def _until(condition: object, timeout_s: float, otherwise: str) -> None:
    """Raises TimeoutError with `otherwise`."""
    assert callable(condition)
    ends_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(otherwise)
        time.sleep(POLL_S)


def as_json(result: Result) -> dict[str, object]:
    return {
        "fair": result.is_fair,
        "fresh_p99_ms_most": FRESH_P99_MOST_MS,
        "backlog": asdict(result.backlog),
        "slow_endpoint": asdict(result.slow_endpoint),
        "recovery": asdict(result.recovery),
        "ramp": list(result.ramp),
    }


def as_text(result: Result) -> str:
    rows = {
        "beside a backlog": result.backlog,
        "beside a slow endpoint": result.slow_endpoint,
        "beside a recovery": result.recovery,
    }
    lines = ["", "fresh events of another tenant, publish → received, ms"]
    for words, fresh in rows.items():
        times = "  ".join(f"{name} {value:.1f}" for name, value in fresh.latency_ms.items())
        lines.append(f"{words:<24} {times}   ({fresh.received} of {fresh.sent}; {fresh.others_waiting} others waiting)")
    lines.append(f"the recovered endpoint had received, every {RAMP_EVERY_S:g} s: {' '.join(map(str, result.ramp))}")
    lines.append("fair" if result.is_fair else f"NOT FAIR: p99 must be at most {FRESH_P99_MOST_MS:g} ms, none missing")
    return "\n".join(lines)
