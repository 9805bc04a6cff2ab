"""The console's pages of one subscription: to change it, or a new one, with a preview of what it would have got."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.subscribers.page import endpoint_of
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from subscriptions import governing
from subscriptions.forms import OwnSubscriptionForm
from subscriptions.forms.problems import RefusedError
from subscriptions.forms.words import TAKEN
from subscriptions.managed import is_managed, warn_managed
from subscriptions.models import Subscription
from subscriptions.preview import BUTTON, LOOKS_AT, Preview, look_back, preview_of, preview_of_rule, previewed, rule_of
from subscriptions.retry_policy import NAMED_POLICIES, PolicyError, parse_policy, policy_text

PREVIEW_ID = "preview"  # the part of the page that a change of the form replaces


class SubscriptionEdit(ConsoleView):
    """Who may not change it sees it, with the same preview."""

    def get(self, request: HttpRequest, subscription_id: int) -> HttpResponse:
        row = _subscription(self.principal, subscription_id)
        if not self.principal.may(Permission.ADMINISTER, row.tenant_id):
            context = {"row": row, "policy": _policy_words(row), "preview": stored_preview(row)}
            return render(request, "console/subscription.html", context)
        return _page(request, OwnSubscriptionForm(instance=row), stored_preview(row))

    def post(self, request: HttpRequest, subscription_id: int) -> HttpResponse:
        row = _subscription(self.principal, subscription_id, Permission.ADMINISTER)
        if BUTTON in request.POST:
            return _preview_page(request, row)
        sent = _Sent(request)
        try:
            saved = governing.change_subscription(row.pk, actor_of(request), sent.form_of)
        except (RefusedError, governing.TakenError) as error:
            return _refused(request, sent.form, error)
        return _told(request, saved, "Changed")


class _Sent:
    """The form as it was sent, of the row as it is once it is locked."""

    def __init__(self, request: HttpRequest) -> None:
        self._data = request.POST
        self.form = OwnSubscriptionForm(self._data)

    def form_of(self, locked: Subscription) -> OwnSubscriptionForm:
        self.form = OwnSubscriptionForm(self._data, instance=locked)
        return self.form


class SubscriptionNew(ConsoleView):
    """Of an endpoint: it belongs to its tenant."""

    permission = Permission.ADMINISTER

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        row = Subscription(tenant=endpoint.tenant, endpoint=endpoint)
        return _page(request, OwnSubscriptionForm(instance=row), None)

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        row = Subscription(tenant=endpoint.tenant, endpoint=endpoint)
        if BUTTON in request.POST:
            return _preview_page(request, row)
        form = OwnSubscriptionForm(request.POST, instance=row)
        try:
            saved = governing.create_subscription(form, actor_of(request))
        except (RefusedError, governing.TakenError) as error:
            return _refused(request, form, error)
        return _told(request, saved, "Made")


def _subscription(principal: Principal, key: int, permission: Permission = Permission.VIEW) -> Subscription:
    """Raises Http404 or PermissionDenied."""
    rows = within(Subscription.objects.select_related("tenant", "endpoint__tenant"), principal)
    row = get_object_or_404(rows, pk=key)
    require(principal, permission, row.tenant_id)
    return row


def stored_preview(row: Subscription) -> Preview | None:
    rule = rule_of(row)
    return preview_of_rule(rule, row.tenant_id, LOOKS_AT) if rule else None


def _page(
    request: HttpRequest, form: OwnSubscriptionForm, preview: Preview | None, last: int = LOOKS_AT
) -> HttpResponse:
    context = {
        "form": form,
        "row": form.instance,
        "was": form.initial.get("slug") or "",
        "preview": preview,
        "last": last,
        "policies": [(named, policy_text(named.policy)) for named in NAMED_POLICIES.values()],
    }
    live = htmx_of(request).target == PREVIEW_ID
    return render(request, "console/_preview.html" if live else "console/subscription_edit.html", context)


def _preview_page(request: HttpRequest, row: Subscription) -> HttpResponse:
    """Nothing is saved, however right the form is."""
    form, last = previewed(OwnSubscriptionForm)(request.POST, instance=row), look_back(request.POST)
    form.is_valid()
    assert isinstance(form, OwnSubscriptionForm)
    return _page(request, form, preview_of(form, last), last)


def _refused(request: HttpRequest, form: OwnSubscriptionForm, error: Exception) -> HttpResponse:
    """What the form could not see is said above it."""
    if isinstance(error, governing.TakenError):
        form.add_error("slug", TAKEN)
    elif not form.errors:
        form.add_error(None, str(error))
    return _page(request, form, None)


def _told(request: HttpRequest, row: Subscription, verb: str) -> HttpResponse:
    messages.success(
        request, f"{verb} {row}. It holds from the next event on; what was planned before goes as planned."
    )
    if is_managed(row):
        warn_managed(request, row)
    return redirect("subscriber", row.endpoint_id)


def _policy_words(row: Subscription) -> str:
    stored = row.retry_policy if isinstance(row.retry_policy, dict) else {}
    try:
        return policy_text(parse_policy(stored))
    except PolicyError:
        return "It cannot be read: the standard one is used."
