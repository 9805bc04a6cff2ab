"""Values that the admin shows once, on the very answer to the request that made them.

A message would be kept until the next page: in a cookie, which proxies see and log, or in the session's row. The answer itself
is kept by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object

_KEPT_AS = "event_center_shown_once"


@dataclass(frozen=True, slots=True)
class Shown:
    """`words`: what it is, a sentence; `is_secret`: it cannot be read later. Django logs contexts of templates at DEBUG by
    their repr: the value is not in it."""

    words: str
    value: str = field(repr=False)
    is_secret: bool = True


def show_once(request: HttpRequest, shown: Shown) -> None:
    """For the answer of this request, which a ShowsOnce admin makes."""
    kept: list[Shown] = getattr(request, _KEPT_AS, [])
    setattr(request, _KEPT_AS, [*kept, shown])


def once_page(request: HttpRequest, model: type[Model]) -> HttpResponse | None:
    """None when there is nothing to show. An action returns it."""
    kept: list[Shown] = getattr(request, _KEPT_AS, [])
    if not kept:
        return None
    opts = model._meta
    context = admin.site.each_context(request) | {
        "title": "Copy it now",
        "opts": opts,
        "shown": kept,
        "back": reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist"),
    }
    return TemplateResponse(request, "admin/shown_once.html", context)


class ShowsOnce(Base):
    """Put before AuditedAdmin or ReadOnlyAdmin. After a form that made such a value the page with it comes in place of the
    redirect."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        answer = super().response_add(request, obj, post_url_continue)
        return once_page(request, self.model) or answer

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        answer = super().response_change(request, obj)
        return once_page(request, self.model) or answer
