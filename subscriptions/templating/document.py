"""A document of texts in the template language: JSON in, JSON out, whatever the texts yield. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from subscriptions.templating.errors import TemplateError
from subscriptions.templating.filters import OMIT, as_text
from subscriptions.templating.language import Language, Meter
from subscriptions.templating.leaf import EVENT, Leaf, Scope, compile_leaf, is_dynamic
from subscriptions.templating.limits import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, MAX_LEAVES
from subscriptions.templating.model import Json, Params, Written

WHEN = "$when"  # a key: the object that holds it is left out unless its value is something


class Part(Protocol):
    """A compiled piece. `render`: a value that orjson writes, or OMIT; raises TemplateError."""

    def render(self, scope: Scope) -> object: ...


@dataclass(frozen=True, slots=True)
class Constant:
    value: object

    def render(self, scope: Scope) -> object:
        return self.value


@dataclass(frozen=True, slots=True)
class Bounded:
    """A text that the service takes only so long."""

    leaf: Leaf
    max_chars: int
    cut: bool

    def render(self, scope: Scope) -> object:
        value = self.leaf.render(scope)
        text = value if isinstance(value, str) else as_text(value)
        if len(text) > self.max_chars and not self.cut:
            raise TemplateError(f"the text is longer than {self.max_chars} characters", where=self.leaf.where)
        return text[: self.max_chars]


@dataclass(frozen=True, slots=True)
class Items:
    parts: tuple[Part, ...]

    def render(self, scope: Scope) -> object:
        made = [part.render(scope) for part in self.parts]
        return [value for value in made if value is not OMIT]


@dataclass(frozen=True, slots=True)
class Object:
    parts: tuple[tuple[str, Part], ...]
    when: Leaf | None = None

    def render(self, scope: Scope) -> object:
        if self.when is not None and not self.when.test(scope):
            return OMIT
        made = [(key, part.render(scope)) for key, part in self.parts]
        return {key: value for key, value in made if value is not OMIT}


class Compiler:
    """Compiles one document. `params` and `secrets` are known by then: what reads only these is rendered here, once."""

    def __init__(self, language: Language, names: Mapping[str, object]) -> None:
        self._language = language
        self._names = names
        self._leaves = 0

    def compile(self, body: Json, where: str = "$", depth: int = 0) -> Part:
        """Raises TemplateError with the place, "$.payload.summary"; with the parameter too when its words are at fault."""
        if depth > MAX_DOCUMENT_DEPTH:
            raise TemplateError(f"objects and lists are nested more than {MAX_DOCUMENT_DEPTH} deep", where=where)
        if isinstance(body, str):
            return self._text(body, where)
        if isinstance(body, Written):
            return self._written(body, where, depth)
        if isinstance(body, dict):
            return self._object(body, where, depth)
        if isinstance(body, list):
            return Items(tuple(self.compile(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(body)))
        self._count(where)
        return Constant(body)

    def _count(self, where: str) -> None:
        self._leaves += 1
        if self._leaves > MAX_LEAVES:
            raise TemplateError(f"the document has more than {MAX_LEAVES} values", where=where)

    def _text(self, text: str, where: str) -> Part:
        self._count(where)
        if not is_dynamic(text):
            return Constant(text)
        leaf = compile_leaf(self._language, text, where)
        return leaf if EVENT in leaf.names else Constant(leaf.render(Scope(self._names, Meter(0))))

    def _object(self, body: dict[str, Json], where: str, depth: int) -> Part:
        parts: list[tuple[str, Part]] = []
        when: Leaf | None = None
        for key, value in body.items():
            place = f"{where}.{key}" if key.isidentifier() else f"{where}[{key!r}]"
            if is_dynamic(key):
                raise TemplateError("expressions are for values; a key is written as it is", where=place)
            if key != WHEN:
                parts.append((key, self.compile(value, place, depth + 1)))
            elif isinstance(value, str) and is_dynamic(value):
                self._count(place)
                when = compile_leaf(self._language, value, place)
            else:
                raise TemplateError("takes an expression: {{ … }}", where=place)
        return Object(tuple(parts), when)

    def _written(self, place: Written, where: str, depth: int) -> Part:
        params = self._names["params"]
        words = params.get(place.field, "") if isinstance(params, Mapping) else ""
        try:
            if place.is_document:
                return self.compile(read_document(words), where, depth)
            return self._bounded(as_text(words), place, where)
        except TemplateError as error:
            raise TemplateError(error.problem, where=error.where, field=place.field) from error

    def _bounded(self, text: str, place: Written, where: str) -> Part:
        self._count(where)
        leaf = compile_leaf(self._language, text, where)
        part = leaf if place.max_chars is None else Bounded(leaf, place.max_chars, place.cut)
        return part if EVENT in leaf.names else Constant(part.render(Scope(self._names, Meter(0))))


def read_document(words: object) -> Json:
    """A document as its author gave it: JSON text, or (from a YAML file) already an object. Raises TemplateError."""
    if isinstance(words, dict | list):
        words = orjson.dumps(words).decode()
    if not isinstance(words, str) or not words.strip():
        raise TemplateError("a JSON document is needed")
    if len(words.encode()) > MAX_DOCUMENT_BYTES:
        raise TemplateError(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        found = orjson.loads(words)
    except orjson.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: this is no JSON ({error.msg.partition(':')[0]})"
        raise TemplateError(problem) from error
    if not isinstance(found, dict | list):
        raise TemplateError("the document must be an object or a list")
    return found


def names_for(params: Params, secrets: Mapping[str, str]) -> dict[str, object]:
    """What a template may read, but for the event."""
    return {"params": params, "secrets": secrets, "omit": OMIT}
