"""What a template is: data that turns an event into the request that one service takes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from subscriptions.channels.base import Field
from subscriptions.templating.limits import MAX_RENDERED_BYTES

Json = object  # None, bool, int, float, str, list[Json] or dict[str, Json]; in a Template's body also Written
Params = Mapping[str, object]
Credentials = Mapping[str, str]


class BodyKind(StrEnum):
    JSON = "json"
    FORM = "form"  # application/x-www-form-urlencoded; an object within is KEY[NAME]


CONTENT_TYPES = {
    BodyKind.JSON: "application/json; charset=utf-8",
    BodyKind.FORM: "application/x-www-form-urlencoded",
}


@dataclass(frozen=True, slots=True)
class Written:
    """The place in a body where a parameter's own words stand: a text in the template language, or a whole document.

    A text that comes out longer than `max_chars` is an error, or is cut when `cut`.
    """

    field: str
    is_document: bool = False
    max_chars: int | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class UrlRule:
    """`example` is for people. `check`: what is wrong with a URL (already a possible webhook URL), in words.

    `is_secret`: whoever knows the URL may post there; it is kept sealed and never shown.
    """

    example: str
    check: Callable[[str], str | None]
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A service's request. `docs_url` is where the service describes it; `answer`, what it answers when it took it."""

    name: str
    label: str
    description: str
    docs_url: str
    answer: str
    url: UrlRule
    body: Json
    fields: tuple[Field, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # values in the language; one that comes out empty is not sent
    kind: BodyKind | None = BodyKind.JSON  # None: the parameters "kind" and "content_type" say
    max_body_bytes: int = MAX_RENDERED_BYTES
    escape: Callable[[str], str] | None = None  # of every value of the event, the service's markup aside

    @property
    def long_fields(self) -> frozenset[str]:
        """The parameters that are written in the template language: a form shows these as text areas."""
        return frozenset(item.field for item in _written(self.body))


def _written(body: Json) -> list[Written]:
    if isinstance(body, Written):
        return [body]
    if isinstance(body, dict):
        return [found for value in body.values() for found in _written(value)]
    if isinstance(body, list):
        return [found for value in body for found in _written(value)]
    return []
