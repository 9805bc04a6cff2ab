"""How a page was asked for: as a whole, or a part of it by htmx."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


def htmx_of(request: HttpRequest) -> HtmxDetails:
    details = request.htmx  # type: ignore[attr-defined]
    assert isinstance(details, HtmxDetails)
    return details
