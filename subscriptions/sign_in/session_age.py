"""How long a session lasts: until nobody uses it, and not for ever even then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Next = Callable[[HttpRequest], HttpResponseBase]

SIGNED_IN_AT: Final = "signed_in_at"  # seconds of Unix time, both
SEEN_AT: Final = "seen_at"
SEEN_STEP_S: Final = 300  # a session is written no oftener than this for having been used


def session_age(get_response: Next) -> Next:
    """Ends a session SESSION_MAX_AGE_S after the sign-in, and keeps one alive that somebody uses.

    A page that polls by itself is no use: an abandoned tab ends after SESSION_COOKIE_AGE like any other session.
    """

    def respond(request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            _age(request, int(time.time()))
        return get_response(request)

    return respond


def _age(request: HttpRequest, now: int) -> None:
    session = request.session
    if now - session.get(SIGNED_IN_AT, 0) > settings.SESSION_MAX_AGE_S:
        session.flush()
    elif now - session.get(SEEN_AT, 0) > SEEN_STEP_S and request.headers.get("HX-Target") != "live":
        session[SEEN_AT] = now


def stamp(sender: object, request: HttpRequest, **_kwargs: object) -> None:
    """Receiver of user_logged_in, the one hook that every way of signing in passes."""
    request.session[SIGNED_IN_AT] = request.session[SEEN_AT] = int(time.time())
