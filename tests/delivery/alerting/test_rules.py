from __future__ import annotations

from dataclasses import replace

import pytest

from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.rules import DEFAULTS, Rules, place_of

KIND = RuleKind.FAILURE_RATE


def rule(threshold: float, **changes: object) -> object:
    return replace(DEFAULTS[KIND], threshold=threshold, stored=True, **changes)  # type: ignore[arg-type]


EVERYWHERE, TENANT, ENDPOINT = rule(0.2, window_s=120), rule(0.3, window_s=600), rule(0.4, window_s=900, enabled=False)


def rules(*given: tuple[int | None, int | None, object]) -> Rules:
    return Rules({place_of(KIND, tenant, endpoint): found for tenant, endpoint, found in given})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "tenant", "endpoint", "found"),
    [
        ([], 1, 10, DEFAULTS[KIND]),
        ([(None, None, EVERYWHERE)], 1, 10, EVERYWHERE),
        ([(None, None, EVERYWHERE), (1, None, TENANT)], 1, 10, TENANT),
        ([(None, None, EVERYWHERE), (1, None, TENANT)], 2, 20, EVERYWHERE),
        ([(1, None, TENANT)], 2, 20, DEFAULTS[KIND]),
        ([(1, None, TENANT), (1, 10, ENDPOINT)], 1, 10, ENDPOINT),
        ([(1, None, TENANT), (1, 10, ENDPOINT)], 1, 11, TENANT),
        ([(1, 10, ENDPOINT)], 1, None, DEFAULTS[KIND]),
    ],
)
def test_narrowest_rule_holds(
    given: list[tuple[int | None, int | None, object]], tenant: int, endpoint: int | None, found: object
) -> None:
    assert rules(*given).of(KIND, tenant, endpoint) == found


def test_rule_of_another_kind_says_nothing() -> None:
    assert rules((None, None, EVERYWHERE)).of(RuleKind.LATENCY, 1, 10) == DEFAULTS[RuleKind.LATENCY]


def test_windows_are_those_that_some_rule_looks_at() -> None:
    kinds = (KIND, RuleKind.LATENCY)
    assert rules().windows(kinds) == {300}
    assert rules((None, None, EVERYWHERE), (1, None, TENANT), (1, 10, ENDPOINT)).windows(kinds) == {120, 300, 600}
    assert rules((1, None, TENANT)).windows((KIND,)) == {300, 600}


def test_every_kind_has_a_rule_and_clears_at_or_below_its_threshold() -> None:
    assert set(KINDS) == set(RuleKind) == set(DEFAULTS)
    assert all(kind.clear_below <= kind.threshold for kind in KINDS.values())
