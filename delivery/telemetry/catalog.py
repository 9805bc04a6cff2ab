"""The one table of all metrics. Pure. docs/operations/metrics.md shows it, and what is served is checked against it.

Names are Prometheus' with its suffixes (a counter ends in _total, a unit that is one stands before that). `dotted` is the
name that DogStatsD gets, in the same unit; empty: not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from delivery.alerting.kinds import RuleKind


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Place(StrEnum):
    """Where a family is served.

    DEPLOYMENT: /metrics of the web process and the port of run_telemetry; read from the stores that all processes share,
    so the same wherever it is read: a query takes max(), not sum(). ENDPOINT, TENANT: the port of run_telemetry alone,
    read from the same stores. WORKER, CONSUMER, TELEMETRY: the port of each such process, about itself: a query takes sum().
    PROCESS: the port of every long-running process.
    """

    DEPLOYMENT = "deployment"
    ENDPOINT = "endpoint"
    TENANT = "tenant"
    PROCESS = "process"
    WORKER = "worker"
    CONSUMER = "consumer"
    TELEMETRY = "telemetry"


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit`: what one is; `labels`: their names; `alerts`: the kinds of rule that look at the same number."""

    name: str
    dotted: str
    type: Type
    unit: str
    labels: tuple[str, ...]
    place: Place
    meaning: str
    alerts: tuple[RuleKind, ...] = ()

    @property
    def family(self) -> str:
        """As prometheus_client names a family: a counter's without _total."""
        return self.name.removesuffix("_total") if self.type is Type.COUNTER else self.name


_C, _G, _H = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM
_K, _P = RuleKind, Place

# What is counted by endpoint, and said of the deployment, of each tenant and of each endpoint: the column of
# delivery.models.counters.Counts, the name, the unit, the meaning, and the rules by endpoint and by tenant.
COUNTED: Final[tuple[tuple[str, str, str, str, tuple[RuleKind, ...], tuple[RuleKind, ...]], ...]] = (
    ("delivered", "success", "deliveries", "Deliveries that the receiver took (2xx).", (), ()),
    ("retried", "retry", "attempts", "Attempts after the first one of a delivery.", (), ()),
    ("duplicates", "duplicate", "sends", "Sends that the receiver may have had before, as far as is known.", (), ()),
    ("attempts", "attempts", "attempts", "Attempts that ended, whatever came of them.",
     (_K.FAILURE_RATE,), (_K.TENANT_FAILURE_RATE,)),
    ("failed", "failed", "attempts", "Attempts that did not succeed.", (_K.FAILURE_RATE,), (_K.TENANT_FAILURE_RATE,)),
    ("first_attempts", "first_attempts", "attempts", "First attempts of deliveries.", (), ()),
    ("first_delivered", "first_success", "deliveries", "Deliveries whose first attempt succeeded.", (), ()),
    ("dead", "dead", "deliveries", "Deliveries that were given up: dead letters.", (_K.DEAD_LETTERS,), ()),
    ("deferred", "deferred", "deliveries", "Times that a worker put a delivery off without an attempt.", (), ()),
    ("signature_refused", "signature_refused", "attempts", "Attempts that the receiver answered with 401 or 403.",
     (_K.SIGNATURE_REFUSED,), ()),
)  # fmt: skip

_LATENCY = "From an event's acceptance to the 2xx answer, first rounds only"


def _counted(place: Place, prefix: str, labels: tuple[str, ...]) -> list[Metric]:
    found = []
    for _, name, unit, meaning, by_endpoint, by_tenant in COUNTED:
        alerts = by_endpoint if place is Place.ENDPOINT else by_tenant if place is Place.TENANT else ()
        names = (f"event_{prefix}_{name}_total", f"event.{prefix}.{name}_total")
        found.append(Metric(*names, _C, unit, labels, place, meaning, alerts))
    return found


METRICS: Final[tuple[Metric, ...]] = (
    *_counted(_P.DEPLOYMENT, "delivery", ()),
    Metric("event_delivery_deduplicated_total", "event.delivery.deduplicated_total", _C, "events", (), _P.DEPLOYMENT,
           "Repeated events that were recognised on the way in and not delivered again."),
    Metric("event_delivery_ingested_total", "event.delivery.ingested_total", _C, "events", (), _P.DEPLOYMENT,
           "Events that were taken from Kafka and stored."),
    Metric("event_delivery_planned_total", "event.delivery.planned_total", _C, "deliveries", (), _P.DEPLOYMENT,
           "Deliveries that were planned."),
    Metric("event_delivery_rejected_total", "event.delivery.rejected_total", _C, "events", (), _P.DEPLOYMENT,
           "Messages from Kafka that could not become an event and were kept aside."),
    Metric("event_publish_signature_errors_total", "event.publish.signature_errors_total", _C, "requests", ("reason",),
           _P.DEPLOYMENT, "Publishes that were refused because of their proof: signature, clock, key.",
           (_K.PUBLISH_SIGNATURE,)),
    Metric("event_adapter_messages_24h", "event.adapter.messages_24h", _G, "messages", ("kind", "outcome"),
           _P.DEPLOYMENT, "What came of the forges' webhooks in the last 24 hours, by kind of forge."),
    Metric("event_delivery_latency_seconds", "", _H, "seconds", (), _P.DEPLOYMENT, f"{_LATENCY}. Any percentile."),
    Metric("event_delivery_latency_p95_seconds", "event.delivery.latency_p95", _G, "seconds", (), _P.DEPLOYMENT,
           "95th percentile of the last five minutes' latency; 0 without a delivery."),
    Metric("event_delivery_oldest_due_seconds", "event.delivery.oldest_due", _G, "seconds", (), _P.DEPLOYMENT,
           "How long the delivery that waits longest could have gone out.", (_K.OLDEST_DUE,)),
    Metric("event_delivery_outbox_depth", "event.delivery.outbox_depth", _G, "events", (), _P.DEPLOYMENT,
           "Accepted events that Kafka has not acknowledged; 10,000 is that or more."),
    Metric("event_delivery_outbox_age_seconds", "event.delivery.outbox_age", _G, "seconds", (), _P.DEPLOYMENT,
           "Age of the oldest of them.", (_K.OUTBOX_STUCK,)),
    Metric("event_delivery_consumer_lag", "event.delivery.consumer_lag", _G, "messages", (), _P.DEPLOYMENT,
           "Messages in Kafka that no consumer has stored; absent while Kafka is away.", (_K.CONSUMER_LAG,)),
    Metric("event_delivery_queue_depth", "event.delivery.queue_depth", _G, "dispatches", ("lane",), _P.DEPLOYMENT,
           "Hints that wait in a Celery queue, a hint a batch; absent while Redis is away."),
    Metric("event_delivery_open_dispatches", "event.delivery.open_dispatches", _G, "dispatches", (), _P.DEPLOYMENT,
           "Batches of deliveries that wait for a worker or are with one; 10,000 is that or more."),
    Metric("event_delivery_in_flight", "event.delivery.in_flight", _G, "deliveries", (), _P.DEPLOYMENT,
           "Deliveries in batches that workers hold."),
    Metric("event_delivery_held", "event.delivery.held", _G, "deliveries", ("reason",), _P.DEPLOYMENT,
           "Deliveries that wait for another reason than their schedule; 10,000 in all is that or more."),
    Metric("event_delivery_breakers", "event.delivery.breakers", _G, "endpoints", ("state",), _P.DEPLOYMENT,
           "Endpoints by the state of their circuit breaker."),
    Metric("event_delivery_dead_24h", "event.delivery.dead_24h", _G, "deliveries", (), _P.DEPLOYMENT,
           "Deliveries that were given up in the last 24 hours."),
    Metric("event_delivery_alerts", "event.delivery.alerts", _G, "alerts", ("severity",), _P.DEPLOYMENT,
           "Alerts that are firing."),
    Metric("event_delivery_incidents", "event.delivery.incidents", _G, "incidents", (), _P.DEPLOYMENT,
           "Incidents that are open."),
    Metric("event_delivery_processes", "event.delivery.processes", _G, "processes", ("role",), _P.DEPLOYMENT,
           "Processes that gave a sign of life within 15 seconds.", (_K.PROCESS_MISSING,)),
    Metric("event_delivery_heartbeat_age_seconds", "event.delivery.heartbeat_age", _G, "seconds", ("role",), _P.DEPLOYMENT,
           "Since the last sign of life of any process of the role.", (_K.PROCESS_MISSING,)),
    Metric("event_delivery_up", "", _G, "1 or 0", (), _P.DEPLOYMENT, "1: the tables could be read; 0: the rest is absent."),
    *_counted(_P.ENDPOINT, "endpoint", ("tenant", "endpoint")),
    Metric("event_endpoint_latency_seconds", "", _H, "seconds", ("tenant", "endpoint"), _P.ENDPOINT,
           f"{_LATENCY}. Any percentile.", (_K.LATENCY,)),
    Metric("event_endpoint_latency_p95_seconds", "event.endpoint.latency_p95", _G, "seconds", ("tenant", "endpoint"),
           _P.ENDPOINT, "95th percentile of the last five minutes' latency; absent without a delivery.", (_K.LATENCY,)),
    Metric("event_endpoint_breaker_open", "event.endpoint.breaker_open", _G, "1 or 0", ("tenant", "endpoint"), _P.ENDPOINT,
           "1: its circuit breaker is open or half-open. Of (others): how many.", (_K.BREAKER_OPEN,)),
    Metric("event_endpoint_disabled", "event.endpoint.disabled", _G, "1 or 0", ("tenant", "endpoint"), _P.ENDPOINT,
           "1: it is disabled. Of (others): how many.", (_K.ENDPOINT_DISABLED,)),
    *_counted(_P.TENANT, "tenant", ("tenant",)),
    Metric("event_tenant_publish_signature_errors_total", "event.tenant.publish_signature_errors_total", _C, "requests",
           ("tenant", "reason"), _P.TENANT,
           "Publishes that were refused because of their proof; tenant (unknown): the key is not known.",
           (_K.PUBLISH_SIGNATURE,)),
    Metric("event_process_info", "", _G, "1", ("role", "instance"), _P.PROCESS, "1; which process this port belongs to."),
    Metric("event_worker_in_flight", "", _G, "requests", ("channel",), _P.WORKER, "Requests that wait for an answer."),
    Metric("event_worker_waiting", "", _G, "deliveries", ("channel",), _P.WORKER,
           "Deliveries that wait within this process for their start."),
    Metric("event_worker_unrecorded", "", _G, "deliveries", (), _P.WORKER,
           "Results that are not in the database yet: sent twice if this process is killed now."),
    Metric("event_worker_open_dispatches", "", _G, "dispatches", (), _P.WORKER, "Batches that this process holds."),
    Metric("event_consumer_partitions", "", _G, "partitions", (), _P.CONSUMER, "Partitions that this process reads."),
    Metric("event_consumer_position", "", _G, "offset", ("partition",), _P.CONSUMER,
           "The next offset that it will take up."),
    Metric("event_telemetry_leader", "", _G, "1 or 0", (), _P.TELEMETRY, "1: this process is the elected one."),
    Metric("event_telemetry_duty_errors_total", "", _C, "errors", ("duty",), _P.TELEMETRY,
           "Times that a duty of the elected process failed, since its start."),
    Metric("event_telemetry_duty_age_seconds", "", _G, "seconds", ("duty",), _P.TELEMETRY,
           "Since the duty last succeeded in this process or, when that is later, its election; absent where it is not elected."),
)  # fmt: skip

BY_NAME: Final = {metric.name: metric for metric in METRICS}


def at(*places: Place) -> tuple[Metric, ...]:
    """The metrics of these places, in the table's order."""
    return tuple(metric for metric in METRICS if metric.place in places)
