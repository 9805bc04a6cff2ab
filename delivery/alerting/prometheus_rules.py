"""Our rules, with their defaults, as Prometheus' alerting rules. Pure.

Format: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/ (keep_firing_for: 2.42 or newer). What cannot
be said exactly is listed in docs/operations/observability.md.

Every number that Event Center serves is the same wherever it is read, so max() over the scraped processes is that number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import yaml

from delivery.alerting.export import SAID_ELSEWHERE, labels_of, name_of, number, says
from delivery.alerting.kinds import Kind, RuleKind

EVALUATED_EVERY: Final = "15s"  # as our own evaluator does
P95: Final = "0.95"
VALUES: Final = {
    "share": "{{ $value | humanizePercentage }}",
    "seconds": "{{ $value | humanizeDuration }}",
    "count": '{{ $value | printf "%.0f" }}',
    "state": "",
}
# Endpoints with an open alert of these are known to fail: their failures are not their tenant's, too.
FAILING: Final = (
    RuleKind.FAILURE_RATE,
    RuleKind.SIGNATURE_REFUSED,
    RuleKind.BREAKER_OPEN,
    RuleKind.DEAD_LETTERS,
    RuleKind.ENDPOINT_DISABLED,
)

# No process is elected, or the elected one has not come through its rules for four turns.
NOT_EVALUATED: Final = (
    'absent(event_telemetry_leader == 1)\nor\nmax(event_telemetry_duty_age_seconds{duty="rules"}) > 60\n'
)

Entry = dict[str, object]


@dataclass(frozen=True, slots=True)
class Measure:
    """PromQL of what a kind measures, and of how many it was measured ("" where nobody asks)."""

    value: str
    count: str = ""


def rules_file(runbook: str) -> str:
    """The whole file. `runbook`: the runbook's URL, to which the section is added."""
    ours = [entry for kind in SAID_ELSEWHERE for entry in (*records(kind), alert(kind, runbook))]
    groups = [
        {"name": "event-center", "interval": EVALUATED_EVERY, "rules": ours},
        {"name": "event-center-watch", "interval": EVALUATED_EVERY, "rules": watch(runbook)},
    ]
    head = (
        "# Made by: manage.py export_prometheus_rules\n"
        "# Event Center's own alert rules, with their defaults, and those that only somebody outside of it can have.\n"
        "# Where the two differ: docs/operations/observability.md.\n"
    )
    return head + yaml.dump({"groups": groups}, Dumper=Readable, sort_keys=False, width=1000)


def records(kind: Kind) -> list[Entry]:
    measure = measures(kind)
    found: list[Entry] = [{"record": f"event_center:{_id(kind)}:value", "expr": measure.value}]
    if measure.count:
        found.append({"record": f"event_center:{_id(kind)}:count", "expr": measure.count})
    return found


def alert(kind: Kind, runbook: str) -> Entry:
    entry: Entry = {"alert": name_of(kind), "expr": condition(kind)}
    if kind.for_s:
        entry["for"] = f"{kind.for_s}s"
    entry["keep_firing_for"] = f"{kind.clear_for_s}s"
    entry["labels"] = {"severity": kind.severity, "kind": kind.kind.value}
    summary = says(kind, "{{{{ $labels.{} }}}}", VALUES)
    entry["annotations"] = {"summary": summary, "runbook_url": f"{runbook}#{kind.runbook}"}
    return entry


def condition(kind: Kind) -> str:
    """It fires above the threshold, and then holds on until it is at or below clear_below: ALERTS is Prometheus' own series
    of what fires."""
    value, count = f"event_center:{_id(kind)}:value", f"event_center:{_id(kind)}:count"
    fires = f"{value} > {number(kind.threshold)}"
    if kind.minimum_count:
        fires = f"({fires} and {count} >= {kind.minimum_count})"
    if kind.clear_below == kind.threshold:
        return fires
    firing = f'ALERTS{{alertname="{name_of(kind)}", alertstate="firing"}}'
    holds_on = f"({value} > {number(kind.clear_below)} and on ({', '.join(labels_of(kind))}) {firing})"
    return f"{fires}\nor\n{holds_on}\n"


def measures(kind: Kind) -> Measure:
    by, window = f"max by ({', '.join(labels_of(kind))})", f"{kind.window_s}s"
    gauges = {
        RuleKind.BREAKER_OPEN: f"{by} (event_endpoint_breaker_open)",
        RuleKind.ENDPOINT_DISABLED: f"{by} (event_endpoint_disabled)",
        RuleKind.OLDEST_DUE: "max(event_delivery_oldest_due_seconds)",
        RuleKind.CONSUMER_LAG: "max(event_delivery_consumer_lag)",
        RuleKind.OUTBOX_STUCK: "max(event_delivery_outbox_age_seconds)",
        RuleKind.PROCESS_MISSING: f"{by} (event_delivery_heartbeat_age_seconds)",
    }
    if kind.kind in gauges:
        return Measure(gauges[kind.kind])
    failed, attempts, refused, dead = (
        f"{by} (increase(event_endpoint_{name}_total[{window}]))"
        for name in ("failed", "attempts", "signature_refused", "dead")
    )
    counted = {
        RuleKind.FAILURE_RATE: Measure(f"{failed}\n/\n{attempts}\n", attempts),
        RuleKind.TENANT_FAILURE_RATE: _of_tenant(window),
        RuleKind.SIGNATURE_REFUSED: Measure(refused),
        RuleKind.DEAD_LETTERS: Measure(dead),
        RuleKind.LATENCY: _latency(window),
        RuleKind.PUBLISH_SIGNATURE: _publish_signature(window),
    }
    return counted[kind.kind]


def _of_tenant(window: str) -> Measure:
    names = "|".join(name_of(kind) for kind in SAID_ELSEWHERE if kind.kind in FAILING)
    without = f'unless on (tenant, endpoint) ALERTS{{alertname=~"{names}"}}'
    failed, attempts = (
        f"sum by (tenant) (\n  max by (tenant, endpoint) (increase(event_endpoint_{name}_total[{window}]))\n  {without}\n)"
        for name in ("failed", "attempts")
    )
    return Measure(f"{failed}\n/\n{attempts}\n", f"{attempts}\n")


def _latency(window: str) -> Measure:
    buckets = f"max by (tenant, endpoint, le) (increase(event_endpoint_latency_seconds_bucket[{window}]))"
    count = f"max by (tenant, endpoint) (increase(event_endpoint_latency_seconds_count[{window}]))"
    return Measure(f"histogram_quantile({P95}, {buckets})", count)


def _publish_signature(window: str) -> Measure:
    """A series begins with its first refusal, of which increase() knows nothing: what was not there before the window is new as
    a whole, unless Prometheus itself is."""
    series = 'event_tenant_publish_signature_errors_total{tenant!="(unknown)", reason=~"wrong|stale"}'
    by = "max by (tenant, reason)"
    new = f"({by} ({series}) unless {by} ({series} offset {window})) and on () max(event_delivery_up offset {window})"
    return Measure(f"sum by (tenant) (\n  ({new})\n  or {by} (increase({series}[{window}]))\n)\n")


def watch(runbook: str) -> list[Entry]:
    """Event Center cannot say these of itself."""
    rows = (
        ("EvaluatorMissing", NOT_EVALUATED, "1m", "the-evaluator-is-dead",
         "Nobody evaluates Event Center's alert rules"),
        ("DatabaseAway", "max(event_delivery_up) == 0", "30s", "the-database-is-away",
         "Event Center cannot read its database"),
        ("TargetDown", 'up{job=~"event-center.*"} == 0', "1m", "nothing-works",
         "{{ $labels.job }} {{ $labels.instance }} does not answer Prometheus"),
        ("Unseen", "absent(event_delivery_up)", "2m", "nothing-works",
         "Prometheus has no metrics of Event Center at all"),
    )  # fmt: skip
    return [
        {
            "alert": f"EventCenter{name}",
            "expr": expr,
            "for": for_,
            "labels": {"severity": "critical"},
            "annotations": {"summary": says, "runbook_url": f"{runbook}#{section}"},
        }
        for name, expr, for_, section, says in rows
    ]


def _id(kind: Kind) -> str:
    return kind.kind.value.replace(".", "_")


class Readable(yaml.SafeDumper):
    """Expressions of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Readable.add_representer(str, _text)
