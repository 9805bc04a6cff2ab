from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Max, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.timesince import timesince

from audit.audited_admin import AuditedAdmin, actor_of
from audit.shown_once import Shown, ShowsOnce, once_page, show_once
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission
from eventcenter.standardwebhooks import PUBLIC_PREFIX
from subscriptions.admin.layout import Layout, choices, layout_of
from subscriptions.admin.secrets import REVOKE, SecretInline, revoke_view
from subscriptions.admin.subscription_rows import SubscriptionInline
from subscriptions.channels.registry import destination_of, is_signed
from subscriptions.forms import EndpointForm
from subscriptions.managed import is_managed, warn_managed
from subscriptions.models import Endpoint, EndpointState
from subscriptions.services import add_secret, needs_approval, pause, resume, rotate_secret

UNSIGNED = "{} is not signed: its channel has no signing secrets."


SECOND_PERSON = 'The system disabled {}, so a second person must approve: <a href="{}">ask for it</a>.'
MISSED = 'What {} missed while it was disabled can be replayed: <a href="{}">look at it first</a>.'


@admin.register(Endpoint)
class EndpointAdmin(TenantScoped, ShowsOnce, AuditedAdmin[Endpoint]):
    """The channel is chosen first, in the address; the form is that channel's own. It is chosen once: an endpoint's past
    deliveries belong to it."""

    noun = "endpoint"
    audit_values = (
        "slug",
        "name",
        "channel",
        "template",
        "content_mode",
        "timeout_s",
        "lane",
        "rate_limit",
        "max_in_flight",
        "signing",
        "rotate_every_days",
    )
    form = EndpointForm
    list_display = ("slug", "tenant", "destination", "state", "secret_age", "managed_by")
    list_select_related = ("tenant",)
    list_filter = ("state", "channel", ("tenant", admin.RelatedOnlyFieldListFilter), "managed_by")
    search_fields = ("slug", "name", "tenant__slug")
    ordering = ("tenant__slug", "slug")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("channel", "state", "state_reason", "managed_by", "created_at")
    inlines = (SubscriptionInline, SecretInline)
    actions = ("pause_selected", "resume_selected", "test_selected", "rotate_selected")
    action_needs = dict.fromkeys(("pause_selected", "resume_selected", "test_selected"), Permission.OPERATE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        rows: QuerySet[Endpoint] = super().get_queryset(request)
        return rows.annotate(newest_secret=Max("secrets__created_at"))

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        """Deliveries of the past belong to the tenant: an endpoint does not move."""
        return (*self.readonly_fields, "tenant") if obj else self.readonly_fields

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Without a channel in the address: the page that asks for it."""
        layout = layout_of(request, None)
        if layout is not None:
            title = f"Add endpoint: {layout.title}"
            return super().add_view(request, form_url, {"title": title} | (extra_context or {}))
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": "Add endpoint",
            "kinds": choices(),
        }
        return TemplateResponse(request, "admin/subscriptions/endpoint/choose.html", context)

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return self._layout(request, obj).fieldsets(is_new=obj is None)

    def get_form(
        self, request: HttpRequest, obj: Endpoint | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Endpoint]]:
        kwargs["form"] = self._layout(request, obj).form()
        return super().get_form(request, obj, change, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        if obj is None:
            return ()
        found = super().get_inlines(request, obj)
        return found if is_signed(obj) else [inline for inline in found if inline is not SecretInline]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return principal_of(request).may_anywhere(Permission.OPERATE)

    def _layout(self, request: HttpRequest, obj: Endpoint | None) -> Layout:
        return layout_of(request, obj) or Layout()

    def audit_chain(self, obj: Endpoint) -> str:
        return obj.tenant.slug

    def save_model(self, request: HttpRequest, obj: Endpoint, form: ModelForm[Endpoint], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and is_signed(obj):
            _show(request, obj, add_secret(obj, actor_of(request)))
        elif change and form.initial.get("signing", obj.signing) != obj.signing:
            _show(request, obj, rotate_secret(obj, actor_of(request)))
        if change and is_managed(obj):
            warn_managed(request, obj)

    def get_urls(self) -> list[Any]:
        page = "<int:endpoint_id>/secrets/<int:secret_id>/revoke/"
        return [path(page, self.admin_site.admin_view(revoke_view), name=REVOKE), *super().get_urls()]

    @admin.display(description="Destination")
    def destination(self, endpoint: Endpoint) -> str:
        return destination_of(endpoint)

    @admin.display(description="Secret's age")
    def secret_age(self, endpoint: Endpoint) -> str:
        if not is_signed(endpoint):
            return "–"
        newest = getattr(endpoint, "newest_secret", None)
        return timesince(newest) if newest else "none: not signed"

    @admin.action(description="Pause: hold their deliveries", permissions=["operate"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        reason = f"Paused by {request.user.get_username()}."
        done = sum(pause(row, actor_of(request), reason) for row in queryset.select_related("tenant"))
        messages.success(request, f"{done} paused. Their deliveries wait; no attempt is spent.")

    @admin.action(description="Resume: enable them again", permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        before = {row.pk: row.state for row in queryset}
        for row in queryset.select_related("tenant"):
            if needs_approval(row):
                ask = f"{reverse('approval-new')}?{urlencode({'kind': 'endpoint.resume', 'target': row.pk})}"
                messages.warning(request, format_html(SECOND_PERSON, row, ask))
        done = [row for row in queryset.select_related("tenant") if resume(row, actor_of(request))]
        messages.success(request, f"{len(done)} resumed.")
        for row in done:
            if before[row.pk] == EndpointState.DISABLED:
                gap = f"{reverse('replay-new')}?endpoint={row.pk}&gap=1"
                messages.info(request, format_html(MISSED, row, gap))

    @admin.action(description="Send a test event (one endpoint)", permissions=["operate"])
    def test_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        """To the page that shows the request before it is sent, and the answer."""
        ticked = list(queryset.values_list("pk", flat=True)[:2])
        if len(ticked) == 1:
            return redirect("endpoint-test", ticked[0])
        messages.error(request, "Tick one endpoint to test; its page shows the request and the answer.")
        return None

    @admin.action(
        description="Rotate the signing secret (the old one signs along for 24 hours)", permissions=["change"]
    )
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        for row in queryset.select_related("tenant"):
            if is_signed(row):
                _show(request, row, rotate_secret(row, actor_of(request)))
            else:
                messages.info(request, UNSIGNED.format(row))
        return once_page(request, self.model)


def _show(request: HttpRequest, endpoint: Endpoint, made: str) -> None:
    """What `add_secret` gave: for the receiver."""
    is_public = made.startswith(PUBLIC_PREFIX)
    words = f"The public key of {endpoint}, by which its receiver verifies v1a signatures:"
    show_once(request, Shown(words if is_public else f"The signing secret of {endpoint}:", made, not is_public))
