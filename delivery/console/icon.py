"""The icon that browsers ask for by themselves, on pages that name none: the admin's, and JSON."""

from __future__ import annotations

from django.templatetags.static import static
from django.views.generic import RedirectView


class Favicon(RedirectView):
    """/favicon.ico leads to the icon of the static files, whatever its name is today."""

    def get_redirect_url(self, *args: object, **kwargs: object) -> str:
        return static("icon.svg")
