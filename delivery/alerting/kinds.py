"""The kinds of alert rule: what each measures, in which unit and scope, and its defaults. Pure; models import it.

The scenario's thresholds: failure rate above 5 % over 5 minutes, signature validation errors, delivery latency above 10 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db import models

ALWAYS: Final = 0.0  # kinds that others raise have no measure: what is raised, fires


class RuleKind(models.TextChoices):
    FAILURE_RATE = "failure_rate", "An endpoint's attempts fail"
    TENANT_FAILURE_RATE = "tenant_failure_rate", "A tenant's attempts fail"
    SIGNATURE_REFUSED = "signature_refused", "A receiver refuses our signature"
    PUBLISH_SIGNATURE = "publish_signature", "A publisher's signature is wrong"
    LATENCY = "latency", "Deliveries take long"
    OLDEST_DUE = "oldest_due", "Deliveries wait that could go"
    DEAD_LETTERS = "dead_letters", "Deliveries are given up"
    BREAKER_OPEN = "breaker_open", "A circuit breaker is open"
    CONSUMER_LAG = "consumer_lag", "Events wait in Kafka"
    OUTBOX_STUCK = "outbox_stuck", "Accepted events do not reach Kafka"
    PROCESS_MISSING = "process_missing", "A process gives no sign of life"
    # What the places that see it raise by themselves; the rule decides on severity, muting and calls.
    ENDPOINT_FAILING = "endpoint.failing", "An endpoint takes nothing any more"
    ENDPOINT_DISABLED = "endpoint.disabled", "The system disabled an endpoint"
    ROTATION_DUE = "signing_key.rotation_due", "A signing key is due for rotation"
    AUDIT_BROKEN = "audit.broken", "An audit trail was changed"


class Scope(StrEnum):
    """What one alert of a kind is about, and the cause it is counted to: alerts of one cause call a person once."""

    ENDPOINT = "endpoint"
    TENANT = "tenant"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Kind:
    """`unit`: share (0 to 1), count, seconds or state. `measured` False: raised elsewhere, threshold and times say nothing.

    `threshold`, `clear_below`, `window_s`, `minimum_count`, `for_s`, `clear_for_s`, `severity`: the defaults of AlertRule.
    `says`: the sentence of a firing alert; {place}, {value}, {threshold} and {window} are filled in.
    """

    kind: RuleKind
    scope: Scope
    unit: str
    says: str
    threshold: float = ALWAYS
    clear_below: float = ALWAYS
    window_s: int = 300
    minimum_count: int = 0
    for_s: int = 0
    clear_for_s: int = 60
    severity: str = "warning"
    measured: bool = True

    @property
    def runbook(self) -> str:
        """Its section of docs/operations/runbook.md."""
        return self.kind.value.replace(".", "-").replace("_", "-")


_K = RuleKind
_E, _T, _P = Scope.ENDPOINT, Scope.TENANT, Scope.PLATFORM
KINDS: Final = {
    kind.kind: kind
    for kind in (
        Kind(_K.FAILURE_RATE, _E, "share", "{place}: {value} of its attempts failed within {window}",
             0.05, 0.025, 300, 20, severity="critical"),
        Kind(_K.TENANT_FAILURE_RATE, _T, "share", "{place}: {value} of its other attempts failed within {window}",
             0.05, 0.025, 300, 50, severity="critical"),
        Kind(_K.SIGNATURE_REFUSED, _E, "count", "{place} answered {value} attempts with 401 or 403 within {window}",
             0, 0, 300, clear_for_s=300),
        Kind(_K.PUBLISH_SIGNATURE, _T, "count", "{place}: {value} publishes with a wrong signature within {window}",
             0, 0, 300, clear_for_s=300),
        Kind(_K.LATENCY, _E, "seconds", "{place}: 95 % of deliveries took up to {value} within {window}",
             10, 5, 300, 20, severity="critical"),
        Kind(_K.OLDEST_DUE, _P, "seconds", "A delivery that could go has waited for {value}",
             60, 15, 0, for_s=30, severity="critical"),
        Kind(_K.DEAD_LETTERS, _E, "count", "{place}: {value} deliveries were given up within {window}",
             0, 0, 300, clear_for_s=600),
        Kind(_K.BREAKER_OPEN, _E, "state", "{place}: its circuit breaker is open", 0, 0, 0, for_s=60, clear_for_s=120),
        Kind(_K.CONSUMER_LAG, _P, "count", "{value} messages wait in Kafka",
             10_000, 1_000, 0, for_s=60, severity="critical"),
        Kind(_K.OUTBOX_STUCK, _P, "seconds", "An accepted event has not reached Kafka for {value}",
             30, 5, 0, for_s=15, severity="critical"),
        Kind(_K.PROCESS_MISSING, _P, "seconds", "No {place} has given a sign of life for {value}",
             30, 10, 0, for_s=15, severity="critical", clear_for_s=30),
        Kind(_K.ENDPOINT_FAILING, _E, "state", "", measured=False),
        Kind(_K.ENDPOINT_DISABLED, _E, "state", "", severity="critical", measured=False),
        Kind(_K.ROTATION_DUE, _E, "state", "", measured=False),
        Kind(_K.AUDIT_BROKEN, _T, "state", "", severity="critical", measured=False),
    )
}  # fmt: skip
