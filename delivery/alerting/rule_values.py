"""What people may write in a rule, in the units of its kind: the admin's form and the file ask here. Pure.

What is left out is the kind's default; a threshold that is not the default takes `clear_below` along in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from delivery.alerting import quantities
from delivery.alerting.kinds import KINDS, Kind, RuleKind, Scope
from delivery.alerting.quantities import QuantityError
from delivery.alerting.rules import DEFAULTS, Rule
from delivery.models import AlertSeverity
from subscriptions.durations import DurationError, parse_duration

THRESHOLD, CLEAR_BELOW, WINDOW, MINIMUM = "threshold", "clear_below", "window", "minimum_count"
FOR, CLEAR_FOR, SEVERITY, ENABLED = "for", "clear_for", "severity", "enabled"
FIELDS = (THRESHOLD, CLEAR_BELOW, WINDOW, MINIMUM, FOR, CLEAR_FOR, SEVERITY, ENABLED)
COLUMNS = {
    THRESHOLD: "threshold",
    CLEAR_BELOW: "clear_below",
    WINDOW: "window_s",
    MINIMUM: "minimum_count",
    FOR: "for_s",
    CLEAR_FOR: "clear_for_s",
    SEVERITY: "severity",
    ENABLED: "enabled",
}
MINUTE_S, WINDOW_MOST_S, LASTING_MOST_S, MINIMUM_MOST = 60, 3600, 86_400, 1_000_000
WINDOW_TAKES = "takes whole minutes from 1m to 1h, such as 5m"
LASTING_TAKES = "takes a time up to 24h in whole seconds, such as 0s, 90s or 5m"
MINIMUM_TAKES = "takes a whole number from 0 to 1,000,000"
SEVERITY_TAKES = f"takes one of {', '.join(AlertSeverity.values)}"
ENABLED_TAKES = "takes true or false"


@dataclass(frozen=True, slots=True)
class Values:
    """The columns of AlertRule that people decide on."""

    threshold: float
    clear_below: float
    window_s: int
    minimum_count: int
    for_s: int
    clear_for_s: int
    severity: str
    enabled: bool

    @classmethod
    def of(cls, rule: Rule) -> Values:
        return cls(**{name: getattr(rule, name) for name in COLUMNS.values()})

    def columns(self) -> dict[str, object]:
        return asdict(self)


class RuleError(ValueError):
    """`problems`: field → what it takes; the field of a scope is tenant or endpoint."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = dict(problems)


def fields_of(kind: Kind) -> tuple[str, ...]:
    """Those that mean something for it. Of what others raise, a rule decides on the severity alone, and whether."""
    if not kind.measured:
        return (SEVERITY, ENABLED)
    absent = {CLEAR_BELOW, THRESHOLD} if kind.unit == quantities.STATE else set()
    absent |= set() if kind.window_s else {WINDOW}
    absent |= set() if kind.minimum_count else {MINIMUM}
    return tuple(name for name in FIELDS if name not in absent)


def read(kind: RuleKind, given: Mapping[str, object]) -> Values:
    """`given`: as written, with None or "" for what is left out. Raises RuleError naming everything that is wrong."""
    about, default = KINDS[kind], Values.of(DEFAULTS[kind])
    problems: dict[str, str] = {}
    found: dict[str, object] = {}
    for name in FIELDS:
        value = given.get(name)
        if value is None or value == "":
            continue
        if name not in fields_of(about):
            problems[name] = f"is not taken by {kind.value}, which takes {', '.join(fields_of(about))}"
            continue
        try:
            found[COLUMNS[name]] = _READERS[name](about, value)
        except (QuantityError, DurationError) as error:
            problems[name] = str(error)
    values = {**default.columns(), **_followed(about, found), **found}
    if not problems and _number(values, "clear_below") > _number(values, "threshold"):
        problems[CLEAR_BELOW] = (
            f"takes at most the threshold, {quantities.text(about.unit, _number(values, 'threshold'))}"
        )
    if problems:
        raise RuleError(problems)
    return Values(**values)  # type: ignore[arg-type]


def check_scope(kind: RuleKind, *, tenant: bool, endpoint: bool) -> None:
    """Raises RuleError where a rule of the kind cannot be for a tenant or an endpoint alone."""
    scope = KINDS[kind].scope
    if tenant and scope is Scope.PLATFORM:
        raise RuleError({"tenant": f"is not taken by {kind.value}, which is about the whole platform"})
    if endpoint and scope is not Scope.ENDPOINT:
        raise RuleError({"endpoint": f"is not taken by {kind.value}, which is about a {scope.value}"})
    if endpoint and not tenant:
        raise RuleError({"tenant": "is missing; an endpoint is named with its tenant"})


def written(kind: RuleKind, values: Values) -> dict[str, object]:
    """As the file has it, exactly; `read` gives the same values back."""
    about = KINDS[kind]
    texts: dict[str, object] = {
        THRESHOLD: quantities.written(about.unit, values.threshold) if THRESHOLD in fields_of(about) else None,
        CLEAR_BELOW: quantities.written(about.unit, values.clear_below) if CLEAR_BELOW in fields_of(about) else None,
        WINDOW: quantities.short(values.window_s),
        MINIMUM: values.minimum_count,
        FOR: quantities.short(values.for_s),
        CLEAR_FOR: quantities.short(values.clear_for_s),
        SEVERITY: str(values.severity),
        ENABLED: values.enabled,
    }
    return {name: texts[name] for name in fields_of(about)}


def takes(kind: Kind, name: str) -> str:
    """What a field takes, for help and schema."""
    if name in (THRESHOLD, CLEAR_BELOW):
        return quantities.TAKES[kind.unit]
    return {
        WINDOW: WINDOW_TAKES,
        MINIMUM: MINIMUM_TAKES,
        FOR: LASTING_TAKES,
        CLEAR_FOR: LASTING_TAKES,
        SEVERITY: SEVERITY_TAKES,
        ENABLED: ENABLED_TAKES,
    }[name]


def _followed(kind: Kind, found: Mapping[str, object]) -> dict[str, object]:
    """`clear_below` where only the threshold is written: as far below it as by default."""
    if "threshold" not in found or "clear_below" in found:
        return {}
    clear = _number(found, "threshold") * (kind.clear_below / kind.threshold if kind.threshold else 0.0)
    return {"clear_below": float(int(clear)) if kind.unit == quantities.COUNT else round(clear, 6)}


def _number(values: Mapping[str, object], name: str) -> float:
    number = values[name]
    assert isinstance(number, int | float)
    return float(number)


def _quantity(kind: Kind, value: object) -> float:
    return quantities.parse(kind.unit, value)


def _window(kind: Kind, value: object) -> int:
    return _whole_seconds(value, MINUTE_S, WINDOW_MOST_S, MINUTE_S, WINDOW_TAKES)


def _lasting(kind: Kind, value: object) -> int:
    return _whole_seconds(value, 0, LASTING_MOST_S, 1, LASTING_TAKES)


def _whole_seconds(value: object, low: int, high: int, step: int, takes: str) -> int:
    try:
        seconds = parse_duration(value)
    except DurationError:
        raise QuantityError(takes) from None
    if not low <= seconds <= high or seconds % step:
        raise QuantityError(takes)
    return int(seconds)


def _minimum(kind: Kind, value: object) -> int:
    try:
        count = quantities.parse(quantities.COUNT, value)
    except QuantityError:
        raise QuantityError(MINIMUM_TAKES) from None
    if count > MINIMUM_MOST:
        raise QuantityError(MINIMUM_TAKES)
    return int(count)


def _severity(kind: Kind, value: object) -> str:
    if value not in AlertSeverity.values:
        raise QuantityError(SEVERITY_TAKES)
    return str(value)


def _enabled(kind: Kind, value: object) -> bool:
    if not isinstance(value, bool):
        raise QuantityError(ENABLED_TAKES)
    return value


_READERS: Mapping[str, Callable[[Kind, object], object]] = {
    THRESHOLD: _quantity,
    CLEAR_BELOW: _quantity,
    WINDOW: _window,
    MINIMUM: _minimum,
    FOR: _lasting,
    CLEAR_FOR: _lasting,
    SEVERITY: _severity,
    ENABLED: _enabled,
}
