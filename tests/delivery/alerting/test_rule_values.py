from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.alerting import quantities
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.rule_values import FIELDS, RuleError, Values, check_scope, fields_of, read, written
from delivery.alerting.rules import DEFAULTS


@pytest.mark.parametrize(
    ("unit", "value", "parsed"),
    [
        ("share", "5 %", 0.05),
        ("share", "12.5%", 0.125),
        ("share", 0.05, 0.05),
        ("share", "0.05", 0.05),
        ("share", "5", None),
        ("share", "-1 %", None),
        ("share", "101 %", None),
        ("share", "nan", None),
        ("share", True, None),
        ("count", "10,000", 10_000.0),
        ("count", 3, 3.0),
        ("count", 1.5, None),
        ("count", [1], None),
        ("seconds", "1m 30s", 90.0),
        ("seconds", 10, 10.0),
        ("seconds", -1, None),
        ("seconds", "8d", None),
    ],
)
def test_quantity_is_read_in_its_unit(unit: str, value: object, parsed: float | None) -> None:
    if parsed is not None:
        assert quantities.parse(unit, value) == pytest.approx(parsed)
        return
    with pytest.raises(quantities.QuantityError, match="takes"):
        quantities.parse(unit, value)


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("share", 0.05714, "5.71 %"),
        ("share", 1.0, "100 %"),
        ("count", 3.0, "3"),
        ("count", 12_345.0, "12,345"),
        ("seconds", 10.04, "10 s"),
        ("seconds", 90.4, "1 min 30 s"),
    ],
)
def test_quantity_is_said_in_its_unit(unit: str, value: float, text: str) -> None:
    assert quantities.text(unit, value) == text


@pytest.mark.parametrize("kind", list(RuleKind))
def test_nothing_written_is_the_default(kind: RuleKind) -> None:
    assert read(kind, {}) == Values.of(DEFAULTS[kind])
    assert read(kind, dict.fromkeys(FIELDS, "")) == Values.of(DEFAULTS[kind])


@given(
    st.sampled_from([kind for kind in RuleKind if fields_of(KINDS[kind]) == FIELDS]),
    st.floats(0, 1),
    st.integers(1, 60),
    st.integers(0, 86_400),
)
def test_what_is_written_is_read_back(kind: RuleKind, threshold: float, minutes: int, lasting: int) -> None:
    given_values = {"threshold": round(threshold, 6), "window": minutes * 60, "for": lasting, "clear_for": lasting}
    values = read(kind, given_values)
    again = read(kind, written(kind, values))
    assert again.threshold == pytest.approx(values.threshold, abs=1e-3)
    assert (again.window_s, again.for_s, again.clear_for_s) == (minutes * 60, lasting, lasting)


@pytest.mark.parametrize(
    ("kind", "values", "problems"),
    [
        ("failure_rate", {"threshold": "much"}, {"threshold": "takes a percentage such as 5 %, or a share from 0 to 1"}),
        ("failure_rate", {"clear_below": "6 %"}, {"clear_below": "takes at most the threshold, 5 %"}),
        ("failure_rate", {"window": "90s"}, {"window": "takes whole minutes from 1m to 1h, such as 5m"}),
        ("failure_rate", {"window": "2h"}, {"window": "takes whole minutes from 1m to 1h, such as 5m"}),
        ("failure_rate", {"minimum_count": -1}, {"minimum_count": "takes a whole number from 0 to 1,000,000"}),
        ("latency", {"for": "2d"}, {"for": "takes a time up to 24h in whole seconds, such as 0s, 90s or 5m"}),
        ("latency", {"severity": "high"}, {"severity": "takes one of info, warning, critical"}),
        ("latency", {"enabled": "no"}, {"enabled": "takes true or false"}),
        ("oldest_due", {"window": "5m"}, {"window": "is not taken by oldest_due, which takes threshold, clear_below, "
                                         "for, clear_for, severity, enabled"}),
        ("audit.broken", {"for": "1m"}, {"for": "is not taken by audit.broken, which takes severity, enabled"}),
        ("latency", {"window": "x", "for": "x"}, {"window": "takes whole minutes from 1m to 1h, such as 5m",
                                                  "for": "takes a time up to 24h in whole seconds, such as 0s, 90s or 5m"}),
    ],
)  # fmt: skip
def test_mistakes_are_named_by_their_fields(kind: str, values: dict[str, Any], problems: dict[str, str]) -> None:
    with pytest.raises(RuleError) as caught:
        read(RuleKind(kind), values)
    assert caught.value.problems == problems


def test_clear_below_follows_a_threshold_that_stands_alone() -> None:
    assert read(RuleKind.FAILURE_RATE, {"threshold": "20 %"}).clear_below == 0.1
    assert read(RuleKind.CONSUMER_LAG, {"threshold": 55}).clear_below == 5
    assert read(RuleKind.DEAD_LETTERS, {"threshold": 10}).clear_below == 0


@pytest.mark.parametrize(
    ("kind", "tenant", "endpoint", "field"),
    [
        ("failure_rate", False, False, None),
        ("failure_rate", True, True, None),
        ("failure_rate", False, True, "tenant"),
        ("tenant_failure_rate", True, False, None),
        ("tenant_failure_rate", True, True, "endpoint"),
        ("consumer_lag", True, False, "tenant"),
    ],
)
def test_scope_fits_the_kind(kind: str, tenant: bool, endpoint: bool, field: str | None) -> None:
    if field is None:
        check_scope(RuleKind(kind), tenant=tenant, endpoint=endpoint)
        return
    with pytest.raises(RuleError) as caught:
        check_scope(RuleKind(kind), tenant=tenant, endpoint=endpoint)
    assert list(caught.value.problems) == [field]
