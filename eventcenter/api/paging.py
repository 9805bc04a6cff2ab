"""Keyset pages, newest first: page 1,000 costs what page 1 costs. No count, no OFFSET."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

T = TypeVar("T", bound=Model)


def page(request: Request, rows: QuerySet[T], query: Mapping[str, Any], show: Callable[[list[T]], object]) -> Response:
    """One query of at most `limit` + 1 rows, by the primary key's order. `show`: a page's rows → its items."""
    if "before" in query:
        rows = rows.filter(pk__lt=query["before"])
    found = list(rows.order_by("-pk")[: query["limit"] + 1])
    shown = found[: query["limit"]]
    following = _link(request, "before", shown[-1].pk) if len(found) > len(shown) else None
    return answer(show(shown), following)


def answer(items: object, following: str | None) -> Response:
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    return Response({"items": items, "next": following}, headers=headers)


def _link(request: Request, name: str, value: object) -> str:
    """The same list from there on."""
    query = request.query_params.copy()
    query[name] = str(value)
    return f"{request.path}?{query.urlencode()}"
