"""Who may see the console, and which rows of it."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.views.generic import View
from django_htmx.http import HttpResponseClientRedirect

from delivery.console import chosen_tenant
from delivery.console.asked import htmx_of as htmx_of
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission


class ConsoleView(AccessMixin, View):
    """Signed-in people who have `permission` in some tenant; never cached, and fragments never in place of pages.

    Which tenants' rows they get is each page's to say, by `self.principal`.
    """

    permission: ClassVar[Permission] = Permission.VIEW
    principal: Principal

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = self._guarded(request, *args, **kwargs)
        add_never_cache_headers(response)
        patch_vary_headers(response, ["HX-Request"])
        return response

    def _guarded(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self._to_sign_in(request)
        self.principal = principal_of(request)
        if not self.principal.may_anywhere(self.permission):
            raise PermissionDenied
        chosen_tenant.note(request, self.principal)
        return super().dispatch(request, *args, **kwargs)

    def _to_sign_in(self, request: HttpRequest) -> HttpResponse:
        """A poll of a page whose session has ended goes to the sign-in page as a whole, and from there back to its page."""
        htmx = htmx_of(request)
        if not htmx:
            return redirect_to_login(request.get_full_path(), self.get_login_url())
        page = urlsplit(htmx.current_url_abs_path or request.get_full_path())
        return HttpResponseClientRedirect(redirect_to_login(page.geturl(), self.get_login_url()).url)
