from __future__ import annotations

import re

from delivery.alerting.kinds import KINDS
from delivery.telemetry.catalog import METRICS, Place, Type


def test_names_are_unique_and_of_prometheus() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"event_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.type is Type.COUNTER)
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")


def test_dotted_names_are_unique_and_say_the_same() -> None:
    dotted = [metric.dotted for metric in METRICS if metric.dotted]
    assert len(set(dotted)) == len(dotted)
    for metric in METRICS:
        if metric.dotted:
            assert metric.dotted.replace(".", "_") == metric.name.removesuffix("_seconds")


def test_every_rule_that_measures_has_a_metric() -> None:
    seen = {kind for metric in METRICS for kind in metric.alerts}
    assert {kind for kind, each in KINDS.items() if each.measured} <= seen


def test_tenants_are_named_on_ports_only() -> None:
    for metric in METRICS:
        names_somebody = bool({"tenant", "endpoint"} & set(metric.labels))
        assert names_somebody == (metric.place in (Place.ENDPOINT, Place.TENANT))
