"""One value of a document: checked and compiled once, rendered for each event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from liquid import BoundTemplate
from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError, LiquidInterrupt, UndefinedError
from liquid.expression import Expression
from liquid.undefined import Undefined

from subscriptions.templating.errors import TemplateError
from subscriptions.templating.filters import FILTERS, Omit, takes
from subscriptions.templating.language import (
    RENDER_ERRORS,
    Context,
    Language,
    Meter,
    expressions_of,
    filters_of,
    nodes_of,
    parse,
    path_of,
)
from subscriptions.templating.limits import MAX_LEAF_CHARS, MAX_MARKS

EVENT, PARAMS, SECRETS, OMIT_NAME = "event", "params", "secrets", "omit"
ROOTS = frozenset({EVENT, PARAMS, SECRETS, OMIT_NAME})


class Scope:
    """What one render may read and spend. Values without tags of their own share a Context: making one costs 3 µs."""

    __slots__ = ("_shared", "meter", "names")

    def __init__(self, names: Mapping[str, object], meter: Meter) -> None:
        self.names = names
        self.meter = meter
        self._shared: Context | None = None

    def context_for(self, leaf: Leaf) -> Context:
        if leaf.has_tags:
            return Context(leaf.template, self.names, self.meter, leaf.weight)
        if self._shared is None or self._shared.env is not leaf.template.env:
            self._shared = Context(leaf.template, self.names, self.meter, 1)
        return self._shared


@dataclass(frozen=True, slots=True)
class Leaf:
    """`expression`: set when the text is one `{{ … }}` and nothing else: its value keeps its type.

    `names`: the roots that it reads. `weight`: nodes and expressions, what one pass over it costs at most.
    """

    where: str
    template: BoundTemplate
    expression: Expression | None
    names: frozenset[str]
    weight: int
    has_tags: bool

    def render(self, scope: Scope) -> object:
        """A value that orjson writes, or OMIT. Raises TemplateError."""
        return self._evaluate(scope, _finished)

    def test(self, scope: Scope) -> bool:
        """Whether it has a value: not missing, null, false, empty or `omit`. Raises TemplateError."""
        return bool(self._evaluate(scope, _tested))

    def _evaluate(self, scope: Scope, finish: Callable[[object, Meter], object]) -> object:
        try:
            scope.meter.spend_nodes(self.weight)
            return finish(self._value(scope.context_for(self)), scope.meter)
        except TemplateError as error:
            raise TemplateError(error.problem, where=self.where) from error
        except RENDER_ERRORS as error:
            raise TemplateError(_in_words(error), where=self.where) from error

    def _value(self, context: Context) -> object:
        if self.expression is not None:
            value = self.expression.evaluate(context)
            escape = self.template.env.escape if isinstance(self.template.env, Language) else None
            return escape(value) if escape and isinstance(value, str) else value
        buffer = context.get_buffer()
        for node in self.template.nodes:
            node.render(context, buffer)
        return buffer.getvalue()


def _finished(value: object, meter: Meter) -> object:
    if isinstance(value, str):
        meter.take_bytes(len(value))
        return value
    if value is None or isinstance(value, bool | int | float):
        meter.take_bytes(1)
        return value
    if isinstance(value, Omit):
        return value
    if isinstance(value, Undefined):
        str(value)  # raises UndefinedError, with the name
    written = orjson.dumps(value)  # here already: what is large must stop before the next one
    meter.take_bytes(len(written))
    return orjson.Fragment(written)


def _tested(value: object, _: Meter) -> object:
    return not isinstance(value, Omit) and bool(value)


def _in_words(error: Exception) -> str:
    """Without the event's values: python-liquid names paths and types, other errors may name anything."""
    if isinstance(error, UndefinedError):
        return f'{error.message}; give it a default: {{{{ … | default: "…" }}}}'
    if isinstance(error, LiquidError):
        return str(error.message or "it cannot be rendered")
    if isinstance(error, LiquidInterrupt):
        return "break and continue belong in a for"
    if isinstance(error, RecursionError):
        return "the expression is nested too deeply"
    return "the value cannot be made from this event"


def is_dynamic(text: str) -> bool:
    return "{{" in text or "{%" in text


def compile_leaf(language: Language, text: str, where: str) -> Leaf:
    """Raises TemplateError for what the language does not have, names that there are not, and what is too long."""
    try:
        if len(text) > MAX_LEAF_CHARS:
            raise TemplateError(f"the text is longer than {MAX_LEAF_CHARS} characters")
        if text.count("{{") + text.count("{%") > MAX_MARKS:
            raise TemplateError(f"the text has more than {MAX_MARKS} expressions")
        template = parse(language, text)
        nodes = list(nodes_of(template))
        own = frozenset(str(name) for node in nodes for name in (*node.template_scope(), *node.block_scope()))
        expressions = [found for node in nodes for found in expressions_of(node)]
        names = frozenset(name for found in expressions for name in _checked(found, own))
    except TemplateError as error:
        raise TemplateError(error.problem, where=where) from error
    has_tags = any(not isinstance(node, OutputNode | ContentNode) for node in nodes)
    return Leaf(where, template, _sole_expression(template.nodes), names, len(nodes) + len(expressions), has_tags)


def _checked(expression: Expression, own: frozenset[str]) -> set[str]:
    """The root that the expression reads, if any."""
    if isinstance(expression, RangeLiteral):
        raise TemplateError("ranges are not part of the language")
    for name, count, options in filters_of(expression):
        if name not in FILTERS:
            raise TemplateError(f"there is no filter {name!r}; there are {', '.join(sorted(FILTERS))}")
        if not takes(FILTERS[name], count, options):
            raise TemplateError(f"the filter {name} is not given what it takes")
    segments = path_of(expression)
    return _checked_path(segments, own) if segments else set()


def _checked_path(segments: list[object], own: frozenset[str]) -> set[str]:
    root = segments[0]
    for segment in segments:
        if not isinstance(segment, str | int):
            raise TemplateError("between brackets stands a text or a number")
        if isinstance(segment, str) and segment.startswith("__"):
            raise TemplateError("names that begin with __ cannot be used")
    if root in own:
        return set()
    if root not in ROOTS:
        raise TemplateError(f"there is no {root!r}; there are event, params, secrets and omit")
    return {str(root)}


def _sole_expression(nodes: list[Node]) -> Expression | None:
    if len(nodes) == 1 and isinstance(nodes[0], OutputNode):
        return nodes[0].expression
    return None
