from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from eventcenter import row_security
from eventcenter.access.principal import principal_of

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class TenantScope:
    """Serves each request in the rows of its principal's tenants: none until it is known who asks (see row_security).

    Keys are the API's to check; its authenticators keep the principal that they find. Stands behind the session's and
    the authentication's middleware.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        row_security.enter(row_security.NO_TENANTS)
        try:
            response = self._get_response(request)
            if isinstance(response, StreamingHttpResponse):
                scope = row_security.current() or row_security.NO_TENANTS
                parts = cast("Iterator[bytes]", response.streaming_content)  # served by WSGI
                response.streaming_content = row_security.streaming(parts, scope)
            return response
        finally:
            row_security.leave()

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> None:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            # While the database is away the view meets the same, and says so in its own way.
            with suppress(OperationalError, InterfaceError):
                principal_of(request)
