from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver

from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission


class AdminSite(admin.AdminSite):
    site_header = site_title = "Event Center"
    index_title = "Administration"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whoever operates or administers something. Each page asks for more."""
        principal = principal_of(request)
        return principal.may_anywhere(Permission.OPERATE) or principal.may_anywhere(Permission.ADMINISTER)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Nothing of ours has an address of its own to be sent to from here."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]
