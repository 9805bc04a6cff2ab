"""A template and its parameters made ready, once; then from each event the request's body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from urllib.parse import quote_plus

import orjson

from subscriptions.templating.document import Compiler, Part, names_for
from subscriptions.templating.errors import MissingSecretError, TemplateError
from subscriptions.templating.filters import OMIT, as_text
from subscriptions.templating.language import Escape, Language, Meter
from subscriptions.templating.leaf import EVENT, Scope
from subscriptions.templating.model import CONTENT_TYPES, BodyKind, Credentials, Params, Template
from subscriptions.webhook_rules import check_header

CONTENT_TYPE = "content-type"


@dataclass(frozen=True, slots=True)
class Compiled:
    """`headers`: names in lower case, content-type among them, the same for every event; secrets are in them."""

    template: Template
    kind: BodyKind
    headers: tuple[tuple[str, str], ...]
    part: Part
    names: Mapping[str, object]

    def __repr__(self) -> str:
        return f"Compiled({self.template.name})"

    def render(self, event: bytes) -> bytes:
        """The body for an event (structured JSON). Raises TemplateError; it will for each try of the same event."""
        scope = Scope({**self.names, EVENT: orjson.loads(event)}, Meter(len(event)))
        value = self.part.render(scope)
        if value is OMIT:
            raise TemplateError("nothing is left of the document for this event", where="$")
        body = write_form(value) if self.kind is BodyKind.FORM else orjson.dumps(value)
        most = self.template.max_body_bytes
        if len(body) > most:
            raise TemplateError(f"the body would have {len(body)} bytes; {self.template.label} takes {most}")
        return body


def compile_params(template: Template, params: Params, credentials: Credentials) -> Compiled:
    """Raises TemplateError, a MissingSecretError among them, for what cannot be used."""
    names = names_for(_values(template, params), _secrets(template, credentials))
    compiler = Compiler(_language(template.escape), names)
    part = compiler.compile(template.body)
    kind, content_type = _kind(template, names["params"])
    headers = [(CONTENT_TYPE, content_type)]
    for name, text in template.headers:
        value = as_text(compiler.compile(text, where=name).render(Scope(names, Meter(0)))).strip()
        problem = check_header(name, value)
        if problem:
            raise TemplateError(problem)
        if value:
            headers.append((name, value))
    return Compiled(template, kind, tuple(headers), part, names)


@cache
def _language(escape: Escape | None) -> Language:
    return Language(escape)


def _values(template: Template, params: Params) -> dict[str, object]:
    """Every parameter that is no secret, defaults filled in."""
    values: dict[str, object] = {}
    for field in template.fields:
        if field.kind != "secret":
            given = params.get(field.name)
            values[field.name] = field.default if given in (None, "") else given
            if field.required and values[field.name] == "":
                raise TemplateError("is needed", where=field.name, field=field.name)
    return values


def _secrets(template: Template, credentials: Credentials) -> dict[str, str]:
    secrets = {field.name: credentials.get(field.name, "") for field in template.fields if field.kind == "secret"}
    for field in template.fields:
        if field.required and not secrets.get(field.name, "-"):
            raise MissingSecretError("is needed", where=field.name, field=field.name)
    return secrets


def _kind(template: Template, values: object) -> tuple[BodyKind, str]:
    if template.kind is not None:
        return template.kind, CONTENT_TYPES[template.kind]
    assert isinstance(values, Mapping)
    kind = BodyKind.FORM if values.get("kind") == BodyKind.FORM else BodyKind.JSON
    return kind, as_text(values.get("content_type")) or CONTENT_TYPES[kind]


def write_form(value: object) -> bytes:
    """application/x-www-form-urlencoded: an object within becomes KEY[NAME]=…, any other list or object its JSON."""
    if not isinstance(value, dict):
        raise TemplateError("a form is made of an object", where="$")
    pairs: list[tuple[str, object]] = []
    for key, item in value.items():
        if isinstance(item, dict):
            pairs.extend((f"{key}[{name}]", inner) for name, inner in item.items())
        else:
            pairs.append((key, item))
    return "&".join([f"{_form_key(key)}={quote_plus(as_text(item))}" for key, item in pairs]).encode()


@lru_cache(maxsize=1024)
def _form_key(key: str) -> str:
    """Most keys are the same in every event."""
    return quote_plus(key)
