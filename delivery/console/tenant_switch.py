"""Which tenant to look at: the page that lists them, and the switch in the frame."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from delivery.console import chosen_tenant, navigation
from delivery.console.access import ConsoleView
from delivery.console.asked import htmx_of
from eventcenter.access.scoping import within
from subscriptions.models import Tenant

SHOWN_MOST = 500
CHOICES_ID = "tenant-choices"
OF_ONE_TENANT = ("tenant", "subscriber", "before", "after")  # what a list's filter by another tenant cannot keep


class TenantSwitch(ConsoleView):
    """GET lists the tenants, POST (tenant=SLUG, "" for all; next=where it was asked) chooses one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = within(Tenant.objects.order_by("slug"), self.principal, column="id")
        found = list(rows.values_list("slug", "name")[: SHOWN_MOST + 1])
        context = {"tenants": found[:SHOWN_MOST], "more": len(found) > SHOWN_MOST, "next": request.GET.get("next", "")}
        if htmx_of(request).target == CHOICES_ID:
            return render(request, "console/_tenant_choices.html", context)
        return render(request, "console/tenant_switch.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        slug, back = request.POST.get("tenant", "").strip().lower(), request.POST.get("next", "")
        if chosen_tenant.choose(request, slug, self.principal):
            return redirect(_with_tenant(back, slug))
        messages.error(request, f"There is no tenant “{slug[:63]}” among those you may see.")
        return redirect("tenant-switch")


def _with_tenant(back: str, slug: str) -> str:
    """The same list with the other tenant; home, where that was none."""
    url = urlsplit(back)
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts=None) and url.path.startswith("/")
    path, query = (url.path, QueryDict(url.query, mutable=True)) if is_ours and _is_list(url.path) else ("", None)
    kept = query if query is not None else QueryDict(mutable=True)
    for name in OF_ONE_TENANT:
        kept.pop(name, None)
    if slug:
        kept["tenant"] = slug
    return f"{path or reverse('home')}?{kept.urlencode()}".rstrip("?")


def _is_list(path: str) -> bool:
    try:
        return navigation.takes_tenant(resolve(path).url_name or "")
    except Resolver404:
        return False
