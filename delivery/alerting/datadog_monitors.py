"""Our rules, with their defaults, as Datadog's monitors, by the dotted names that DogStatsD gets. Pure.

Format: https://docs.datadoghq.com/api/latest/monitors/#create-a-monitor; each element is the body of one such request. The
minimum count is said as Datadog's guide on error rates has it, by is_greater(). What cannot be said exactly is listed in
docs/operations/observability.md.
"""

from __future__ import annotations

import json
import math
from typing import Final

from delivery.alerting.export import SAID_ELSEWHERE, labels_of, name_of, number, says
from delivery.alerting.kinds import Kind, RuleKind, Scope

PRIORITY: Final = {"critical": 1, "warning": 3, "info": 5}
VALUES: Final = dict.fromkeys(("share", "count", "seconds", "state"), "{{value}}")
FAILED: Final = {
    RuleKind.FAILURE_RATE: "event.endpoint",
    RuleKind.TENANT_FAILURE_RATE: "event.tenant",
}
COUNTED: Final = {
    RuleKind.SIGNATURE_REFUSED: "event.endpoint.signature_refused_total",
    RuleKind.DEAD_LETTERS: "event.endpoint.dead_total",
    RuleKind.PUBLISH_SIGNATURE: "event.tenant.publish_signature_errors_total",
}
# Calls by a key that nobody knows, or without a proof, count for nothing: strangers on the net would call people. Datadog writes
# a bracket as _.
KNOWN_TENANTS: Final = "!tenant:_unknown_,!tenant:_unknown,!reason:missing"
GAUGES: Final = {
    RuleKind.LATENCY: "event.endpoint.latency_p95",
    RuleKind.OLDEST_DUE: "event.delivery.oldest_due",
    RuleKind.BREAKER_OPEN: "event.endpoint.breaker_open",
    RuleKind.CONSUMER_LAG: "event.delivery.consumer_lag",
    RuleKind.OUTBOX_STUCK: "event.delivery.outbox_age",
    RuleKind.PROCESS_MISSING: "event.delivery.heartbeat_age",
    RuleKind.ENDPOINT_DISABLED: "event.endpoint.disabled",
}

Monitor = dict[str, object]


def monitors_file(runbook: str) -> str:
    """A JSON array. `runbook`: the runbook's URL, to which the section is added."""
    monitors = [monitor(kind, runbook) for kind in SAID_ELSEWHERE]
    return json.dumps(monitors, indent=2, ensure_ascii=False) + "\n"


def monitor(kind: Kind, runbook: str) -> Monitor:
    summary = says(kind, "{{{{{}.name}}}}", VALUES)
    link = f"{runbook}#{kind.runbook}"
    return {
        "name": f"{name_of(kind)}: {kind.kind.label}",
        "type": "query alert",
        "query": query(kind),
        "message": f"{{{{#is_alert}}}}{summary}{{{{/is_alert}}}}\n{{{{#is_recovery}}}}It is over.{{{{/is_recovery}}}}\n\n{link}",
        "tags": ["service:event-center", f"kind:{kind.kind.value}", f"severity:{kind.severity}"],
        "priority": PRIORITY[kind.severity],
        "options": {
            "thresholds": thresholds(kind),
            "include_tags": True,
            "notify_no_data": False,
            "require_full_window": False,
        },
    }


def thresholds(kind: Kind) -> dict[str, float]:
    """`critical` is above which it fires, whatever its severity; it recovers at or below `critical_recovery`."""
    found = {"critical": float(kind.threshold)}
    if kind.clear_below < kind.threshold:
        found["critical_recovery"] = float(kind.clear_below)
    return found


def query(kind: Kind) -> str:
    return f"{measure(kind)} > {number(kind.threshold)}"


def measure(kind: Kind) -> str:
    by = f" by {{{','.join(labels_of(kind))}}}" if labels_of(kind) else ""
    if kind.kind in GAUGES:
        return f"min(last_{_minutes(kind.for_s)}m):max:{GAUGES[kind.kind]}{{*}}{by}"
    over = f"sum(last_{_minutes(kind.window_s)}m)"
    if kind.kind in COUNTED:
        scope = KNOWN_TENANTS if kind.scope is Scope.TENANT else "*"
        return f"{over}:sum:{COUNTED[kind.kind]}{{{scope}}}{by}.as_count()"
    failed, attempts = (f"sum:{FAILED[kind.kind]}.{name}_total{{*}}{by}.as_count()" for name in ("failed", "attempts"))
    return f"{over}:({failed} / {attempts}) * is_greater({attempts}, {kind.minimum_count - 1})"


def _minutes(seconds: int) -> int:
    """Datadog looks at whole minutes, one at least."""
    return max(1, math.ceil(seconds / 60))
