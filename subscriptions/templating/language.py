"""The template language: Liquid without files, clocks, unbounded loops or any way to a Python object. Pure.

What python-liquid gives is taken by name: the tags and filters below and no other. It reads only mappings, lists and
plain values; here also every path is checked before the template is ever used, see `compile_leaf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, TextIO, cast

from liquid import BoundTemplate, Environment, FalsyStrictUndefined, RenderContext, Token
from liquid.ast import Node
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions import FilteredExpression, KeywordArgument, Path
from liquid.builtin.tags import assign_tag, case_tag, for_tag, if_tag, unless_tag
from liquid.exceptions import LiquidError, LiquidInterrupt, UnknownFilterError
from liquid.expression import Expression
from liquid.undefined import Undefined

from subscriptions.templating.errors import TemplateError
from subscriptions.templating.filters import FILTERS, Filter, as_text
from subscriptions.templating.limits import (
    CHARS_PER_STEP,
    EVENT_BYTES_PER_PRICE,
    MAX_BLOCK_DEPTH,
    MAX_LOCALS_BYTES,
    MAX_RENDERED_BYTES,
    MAX_STEPS,
    MAX_TEXT_CHARS,
)

Escape = Callable[[str], str]


class Meter:
    """Counts the work of one render. `event_bytes`: one node may have to walk all of the event, so each costs more."""

    __slots__ = ("bytes_left", "price", "steps_left")

    def __init__(self, event_bytes: int) -> None:
        self.steps_left = MAX_STEPS
        self.bytes_left = MAX_RENDERED_BYTES
        self.price = 1 + event_bytes // EVENT_BYTES_PER_PRICE

    def spend(self, steps: int) -> None:
        self.steps_left -= steps
        if self.steps_left < 0:
            raise TemplateError(f"the template takes more than {MAX_STEPS} steps for this event")

    def spend_nodes(self, count: int) -> None:
        self.spend(count * self.price)

    def take_text(self, chars: int) -> None:
        if chars > MAX_TEXT_CHARS:
            raise TemplateError(f"a text grows over {MAX_TEXT_CHARS} characters")
        self.spend(1 + chars // CHARS_PER_STEP)

    def take_bytes(self, count: int) -> None:
        """Of the result."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise TemplateError(f"the result is larger than {MAX_RENDERED_BYTES} bytes")


class Context(RenderContext):
    """Where one value is rendered. A loop is paid for when it is entered: its rounds times all of the value's nodes."""

    __slots__ = ("meter", "weight")

    def __init__(self, template: BoundTemplate, names: Mapping[str, object], meter: Meter, weight: int) -> None:
        super().__init__(template, globals=names)
        self.meter = meter
        self.weight = weight  # of the value: nodes and expressions

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.meter.spend_nodes(max(length, 1) * self.weight)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        known = self.env.filters.get(name)
        if known is None:
            raise UnknownFilterError(name, token=token)
        return partial(self._metered, name, known)

    def _metered(self, name: str, known: Filter, value: object, *args: object, **options: object) -> object:
        if name != "default":
            for item in (value, *args):
                _must_exist(item)
        for item in (value, *args):
            self.meter.take_text(len(item) if isinstance(item, str) else 0)
        result = known(value, *args, **options)
        self.meter.take_text(len(result) if isinstance(result, str | list) else 0)
        return result


def _must_exist(value: object) -> None:
    if isinstance(value, Undefined):
        str(value)  # raises UndefinedError, with the name


class _OutputNode(output.OutputNode):
    """`{{ … }}` within a text: as `as_text` writes it, then in the service's markup."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        _must_exist(value)
        escape = cast("Language", context.env).escape
        text = as_text(value)
        cast("Context", context).meter.take_text(len(text))
        return buffer.write(escape(text) if escape else text)


class _Output(output.Output):
    node_class = _OutputNode


class Language(Environment):
    """`escape`: how a value is written within the service's own markup."""

    block_nesting_limit: ClassVar[int] = MAX_BLOCK_DEPTH
    context_depth_limit: ClassVar[int] = 2 * MAX_BLOCK_DEPTH
    local_namespace_limit: ClassVar[int | None] = MAX_LOCALS_BYTES
    output_stream_limit: ClassVar[int | None] = MAX_RENDERED_BYTES

    def __init__(self, escape: Escape | None = None) -> None:
        super().__init__(undefined=FalsyStrictUndefined)
        self.escape = escape

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        for tag in _TAGS:
            self.add_tag(tag)
        self.filters.update(FILTERS)


_TAGS = (
    content.Literal,
    _Output,
    illegal.Illegal,
    if_tag.IfTag,
    unless_tag.UnlessTag,
    case_tag.CaseTag,
    for_tag.ForTag,
    for_tag.BreakTag,
    for_tag.ContinueTag,
    assign_tag.AssignTag,
)
# What rendering raises for what a template or an event brings; anything else is a fault of ours.
RENDER_ERRORS = (LiquidError, LiquidInterrupt, TypeError, ValueError, LookupError, ArithmeticError, RecursionError)


def parse(language: Language, source: str) -> BoundTemplate:
    """Raises TemplateError, with what python-liquid found and the line when the text has several."""
    try:
        return language.from_string(source)
    except LiquidError as error:
        raise TemplateError(_in_words(error, source)) from error
    except RecursionError as error:
        raise TemplateError("the expression is nested too deeply") from error


def _in_words(error: LiquidError, source: str) -> str:
    found = str(error.message or "it cannot be read")
    token = error.token
    if token is None or token.start_index < 0 or "\n" not in source:
        return found
    return f"line {source.count(chr(10), 0, token.start_index) + 1}: {found}"


def nodes_of(template: BoundTemplate) -> Iterator[Node]:
    """Every node, parents first."""
    static = RenderContext(template)
    waiting = list(reversed(template.nodes))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children(static))


def expressions_of(node: Node) -> Iterator[Expression]:
    """Every expression of the node itself, those within others too."""
    waiting = list(node.expressions())
    while waiting:
        expression = waiting.pop()
        yield expression
        waiting.extend(expression.children())


def filters_of(expression: Expression) -> list[tuple[str, int, list[str]]]:
    """The filters applied to it: the name, how many arguments, the names of the options."""
    if not isinstance(expression, FilteredExpression):
        return []
    found = []
    for used in expression.filters or []:
        options = [given.name for given in used.args if isinstance(given, KeywordArgument)]
        found.append((used.name, len(used.args) - len(options), options))
    return found


def path_of(expression: Expression) -> list[object] | None:
    """The segments of `event.data["version"]`: "event", "data", "version". None for what is no path."""
    return list(expression.path) if isinstance(expression, Path) else None
