"""Who calls, as the replays and the trail need it."""

from __future__ import annotations

from rest_framework.request import Request

from audit.trail import Actor
from eventcenter.access.principal import principal_of
from eventcenter.authentication import Publisher


def publisher_of(request: Request) -> Publisher | None:
    """None: an API key, or a person."""
    return request.user if isinstance(request.user, Publisher) else None


def caller_of(request: Request) -> Actor:
    """For the trail."""
    return principal_of(request).actor
