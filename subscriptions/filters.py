"""CloudEvents Subscriptions filters: exact, prefix, suffix, all, any, not. Pure.

The dialects test attributes by name, extensions among them, in their canonical string form and case-sensitively; an
attribute that is not set matches nothing. `tags` holds several values: a test of it is true when any one tag passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventcenter.envelope import Envelope, FieldProblem, RefusedError, canonical_text, timestamp_text
from eventcenter.envelope.attributes import text
from eventcenter.envelope.model import SPEC_VERSION

Accepts = Callable[[Envelope], bool]

# A filter runs for every event of its tenant: these bounds keep the dearest one at some tens of microseconds.
MAX_DEPTH = 8
MAX_EXPRESSIONS = 200
MAX_NAME_CHARS = 20

WILDCARD_ENDING = ".*"


class FilterError(ValueError):
    """The filters are not valid. `problems` is never empty."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(str(problem) for problem in problems))


def type_matches(pattern: str, event_type: str) -> bool:
    """`plugin.release.*` takes every type below `plugin.release.`, at any depth, but not `plugin.release` itself.

    Any other pattern takes only the type that it equals.
    """
    if pattern.endswith(WILDCARD_ENDING):
        return event_type.startswith(pattern[:-1]) and len(event_type) >= len(pattern)
    return pattern == event_type


def attribute_values(envelope: Envelope, name: str) -> tuple[str, ...]:
    """The values of an attribute as text: one, for `tags` any number, none when it is not set."""
    if name == "tags":
        return envelope.tags
    if name == "time":
        return (timestamp_text(envelope.time),) if envelope.time else ()
    if name == "specversion":
        return (SPEC_VERSION,)
    value = getattr(envelope, name) if name in _TEXT_ATTRIBUTES else envelope.extensions.get(name)
    return () if value is None else (canonical_text(value),)


_TEXT_ATTRIBUTES = frozenset(Envelope.__struct_fields__) - {"tags", "time", "extensions", "data"}


def _equals(value: str, wanted: str) -> bool:
    return value == wanted


_TESTS: dict[str, Callable[[str, str], bool]] = {"exact": _equals, "prefix": str.startswith, "suffix": str.endswith}
_DIALECTS = ", ".join([*_TESTS, "all", "any", "not"])


@dataclass(frozen=True, slots=True)
class Attributes:
    """All of the (name, wanted) pairs hold, by one test."""

    test: Callable[[str, str], bool]
    wanted: tuple[tuple[str, str], ...]

    def __call__(self, envelope: Envelope) -> bool:
        test = self.test
        return all(
            any(test(value, wanted) for value in attribute_values(envelope, name)) for name, wanted in self.wanted
        )


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Accepts, ...]

    def __call__(self, envelope: Envelope) -> bool:
        return all(part(envelope) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple[Accepts, ...]

    def __call__(self, envelope: Envelope) -> bool:
        return any(part(envelope) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Accepts

    def __call__(self, envelope: Envelope) -> bool:
        return not self.part(envelope)


def compile_filters(spec: object) -> Accepts:
    """`filters` of a subscription, as JSON has it, to a predicate; an empty list takes every event. Raises FilterError."""
    problems = validate_filters(spec)
    if problems or not isinstance(spec, list):
        raise FilterError(problems)
    return All(tuple(_compile(expression) for expression in spec))


def _compile(expression: Mapping[str, object]) -> Accepts:
    """A valid expression."""
    dialect, operand = next(iter(expression.items()))
    if isinstance(operand, list):
        parts = tuple(_compile(part) for part in operand)
        return All(parts) if dialect == "all" else Any(parts)
    if not isinstance(operand, dict):
        raise TypeError(dialect)
    return Not(_compile(operand)) if dialect == "not" else Attributes(_TESTS[dialect], tuple(operand.items()))


def validate_filters(spec: object) -> list[FieldProblem]:
    """What is wrong, each with its path such as `filters[0].any[1].prefix`; empty when nothing is."""
    if not isinstance(spec, list):
        return [FieldProblem("filters", "must be a list of filters")]
    if _count(spec) > MAX_EXPRESSIONS:
        return [FieldProblem("filters", f"must have at most {MAX_EXPRESSIONS} dialects and tests in all")]
    return list(_list_problems(spec, "filters", 1))


def _count(spec: object) -> int:
    """Expressions and tests, everywhere in it; no recursion, because nothing has bounded the depth yet."""
    found = 0
    waiting = [spec]
    while waiting and found <= MAX_EXPRESSIONS * 4:
        item = waiting.pop()
        if isinstance(item, dict):
            found += len(item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
            found += not item
    return found


def _list_problems(expressions: Sequence[object], path: str, depth: int) -> Iterator[FieldProblem]:
    for index, expression in enumerate(expressions):
        yield from _problems(expression, f"{path}[{index}]", depth)


def _problems(expression: object, path: str, depth: int) -> Iterator[FieldProblem]:
    if depth > MAX_DEPTH:
        yield FieldProblem(path, f"must not be nested more than {MAX_DEPTH} levels deep")
    elif not isinstance(expression, dict) or len(expression) != 1:
        yield FieldProblem(path, f"must be an object with one member, named by its dialect: {_DIALECTS}")
    else:
        dialect, operand = next(iter(expression.items()))
        yield from _operand_problems(dialect, operand, path, depth)


def _operand_problems(dialect: object, operand: object, path: str, depth: int) -> Iterator[FieldProblem]:
    where = f"{path}.{dialect}"
    if dialect == "not":
        yield from _problems(operand, where, depth + 1)
    elif dialect in ("all", "any"):
        if isinstance(operand, list) and operand:
            yield from _list_problems(operand, where, depth + 1)
        else:
            yield FieldProblem(where, "must be a list of at least one filter")
    elif dialect in _TESTS:
        yield from _test_problems(operand, where)
    else:
        yield FieldProblem(path, f"must use one of the dialects {_DIALECTS}")


def _test_problems(operand: object, path: str) -> Iterator[FieldProblem]:
    if not isinstance(operand, dict) or not operand:
        yield FieldProblem(path, 'must be an object of attribute names and values, such as {"type": "plugin.release."}')
        return
    for name, wanted in operand.items():
        if not _is_attribute_name(name):
            message = f"must name attributes with 1 to {MAX_NAME_CHARS} characters of a-z and 0-9, and not the data"
            yield FieldProblem(path, message)
        else:
            yield from _value_problems(wanted, f"{path}.{name}")


def _value_problems(wanted: object, path: str) -> Iterator[FieldProblem]:
    """A value that no attribute may hold could never match, and one with NUL could not be stored."""
    try:
        text(wanted)
    except RefusedError as refused:
        yield FieldProblem(path, str(refused))


def _is_attribute_name(name: object) -> bool:
    if not isinstance(name, str) or name == "data" or not 1 <= len(name) <= MAX_NAME_CHARS:
        return False
    return name.isascii() and name.isalnum() and name == name.lower()
