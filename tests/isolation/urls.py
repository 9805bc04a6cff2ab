"""Every URL of the project, found by itself, with the values that its parameters can be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern

_PARAMETER = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
# The admin's own by regular expression: what no page took, and the first page of an app.
CATCH_ALL = "(?P<url>.*)$"
_ALTERNATIVES = re.compile(r"\^\(\?P<\w+>(?P<words>\w+(?:\|\w+)*)\)/\$")


@dataclass(frozen=True, slots=True)
class Url:
    """`route` as it is written in urls.py, includes before it."""

    route: str
    name: str

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """(name, converter)"""
        return [(found["name"], found["converter"] or "str") for found in _PARAMETER.finditer(self.route)]

    def paths(self, values: Callable[[Url, str, str], Sequence[str]]) -> Iterator[str]:
        """One path for each combination; `values(url, name, converter)`."""
        choices = [values(self, name, converter) for name, converter in self.parameters]
        for combination in product(*choices):
            filled = iter(combination)
            yield "/" + _PARAMETER.sub(lambda _, filled=filled: next(filled), self.route)  # type: ignore[misc]


def all_urls() -> list[Url]:
    found = list(_walk(get_resolver().url_patterns, ""))
    assert len(found) > 60
    return found


def _walk(patterns: Sequence[URLPattern | URLResolver], prefix: str) -> Iterator[Url]:
    for entry in patterns:
        if isinstance(entry.pattern, RegexPattern):
            yield from _spelled_out(prefix, str(entry.pattern))
            continue
        assert isinstance(entry.pattern, RoutePattern)
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, route)
        else:
            yield Url(route, entry.name or "")


def _spelled_out(prefix: str, regex: str) -> Iterator[Url]:
    if regex != CATCH_ALL:
        found = _ALTERNATIVES.fullmatch(regex)
        assert found, f"{regex} cannot be walked: write it with path()"
        yield from (Url(f"{prefix}{word}/", "") for word in found["words"].split("|"))
