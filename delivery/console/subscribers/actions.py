"""What a person does to a subscriber: GET asks, POST does, a message says what it did. The same without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html

from audit.audited_admin import actor_of
from audit.shown_once import Shown
from audit.trail import Actor
from delivery.console.access import ConsoleView
from delivery.console.subscribers import store
from delivery.console.subscribers.page import endpoint_of
from delivery.health import breakers
from delivery.health.breaker import REASON_CHARS
from delivery.models import ApprovalKind, Breaker
from delivery.replays.missed import missed_since
from eventcenter.access.roles import Permission
from eventcenter.standardwebhooks import PUBLIC_PREFIX
from subscriptions.channels.registry import is_signed
from subscriptions.models import Endpoint
from subscriptions.services import ROTATION_OVERLAP, needs_approval, pause, resume, rotate_secret

NO_REASON = "Give the reason: whoever comes next wants to know."
NOT_SIGNED = "Its channel has no signing secrets."
ROTATED_MEANWHILE = "Not rotated. Somebody rotated it since you opened the page."


class SubscriberPause(ConsoleView):
    permission = Permission.OPERATE

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        return _pause_page(request, endpoint_of(self.principal, endpoint_id, self.permission))

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint, reason = endpoint_of(self.principal, endpoint_id, self.permission), reason_of(request)
        if not reason:
            return _pause_page(request, endpoint, NO_REASON)
        if pause(endpoint, actor_of(request), reason):
            messages.success(request, f"Paused {endpoint}. What comes for it waits; no attempt is spent.")
        else:
            messages.error(request, f"Not paused. {endpoint} is not enabled.")
        return redirect("subscriber", endpoint_id)


def reason_of(request: HttpRequest) -> str:
    return request.POST.get("reason", "").replace("\0", "").strip()[:REASON_CHARS]


def _pause_page(request: HttpRequest, endpoint: Endpoint, problem: str = "") -> HttpResponse:
    context = {"endpoint": endpoint, "problem": problem, "reason_most": REASON_CHARS}
    return render(request, "console/subscriber_pause.html", context)


class SubscriberResume(ConsoleView):
    """What the system disabled takes a second person: both ways lead to the page that asks one."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        if needs_approval(endpoint):
            return _ask(endpoint)
        waiting = store.waiting([endpoint_id]).get(endpoint_id, store.Waiting())
        context = {"endpoint": endpoint, "waiting": waiting, "waiting_most": store.WAITING_MOST}
        return render(request, "console/subscriber_resume.html", context)

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        if needs_approval(endpoint):
            return _ask(endpoint)
        if resume(endpoint, actor_of(request)):
            messages.success(request, f"Resumed {endpoint}. What waited for it goes now, a few at a time at first.")
            _offer_gap(request, endpoint, self.principal.may(Permission.REPLAY, endpoint.tenant_id))
        else:
            messages.error(request, f"Not resumed. {endpoint} was enabled already, or a second person must approve.")
        return redirect("subscriber", endpoint_id)


def _ask(endpoint: Endpoint) -> HttpResponse:
    wanted = urlencode({"kind": ApprovalKind.ENDPOINT_RESUME.value, "target": endpoint.pk})
    return redirect(f"{reverse('approval-new')}?{wanted}")


def _offer_gap(request: HttpRequest, endpoint: Endpoint, may_replay: bool) -> None:
    since = missed_since(endpoint)
    count = store.died(endpoint.tenant_id, endpoint.pk, since) if since else 0
    if count and may_replay:
        page = f"{reverse('replay-new')}?endpoint={endpoint.pk}&gap=1"
        words = 'It missed {} deliver{}, which died meanwhile: <a href="{}">replay the gap</a>.'
        messages.info(request, format_html(words, f"{count:,}", "y" if count == 1 else "ies", page))


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing to do about a breaker. `pull` says whether it changed anything."""

    pull: Callable[[Endpoint, Actor, str], bool]
    done: str
    not_done: str


LEVERS = {
    "probe": Lever(
        lambda endpoint, actor, reason: breakers.probe_now(endpoint, actor),
        "The next delivery finds out: if it is taken, the breaker closes.",
        "Not probed: the breaker is not open, or a probe is due or on its way.",
    ),
    "close": Lever(
        lambda endpoint, actor, reason: breakers.close_by_hand(endpoint, actor),
        "Closed the breaker: it is called again, a few at a time at first.",
        "Not closed: it was closed already.",
    ),
    "open": Lever(
        breakers.open_by_hand,
        "Opened the breaker: deliveries wait until somebody closes it; no attempt is spent.",
        "Not opened: it was open by hand already; its reason stays.",
    ),
    "end-hold": Lever(
        lambda endpoint, actor, reason: breakers.end_hold(endpoint, actor),
        "The pause that the receiver asked for is over: it is called again.",
        "Nothing to end: the receiver asked for no pause.",
    ),
}


class SubscriberProbe(ConsoleView):
    """The breaker by hand: probe, close, open, end the receiver's pause."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        return _probe_page(request, endpoint_of(self.principal, endpoint_id, self.permission))

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint, reason = endpoint_of(self.principal, endpoint_id, self.permission), reason_of(request)
        name = request.POST.get("do", "")
        if name not in LEVERS or (name == "open" and not reason):
            return _probe_page(request, endpoint, NO_REASON if name == "open" else "Choose what to do.")
        lever = LEVERS[name]
        done = lever.pull(endpoint, actor_of(request), reason)
        messages.add_message(
            request, messages.SUCCESS if done else messages.ERROR, lever.done if done else lever.not_done
        )
        return redirect("subscriber", endpoint_id)


def _probe_page(request: HttpRequest, endpoint: Endpoint, problem: str = "") -> HttpResponse:
    breaker = Breaker.objects.filter(pk=endpoint.pk).first()
    context = {"endpoint": endpoint, "breaker": breaker, "problem": problem, "reason_most": REASON_CHARS}
    return render(request, "console/subscriber_probe.html", context)


class SubscriberRotate(ConsoleView):
    """The new secret is on the answer to the POST alone, which nobody keeps."""

    permission = Permission.ADMINISTER

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        if not is_signed(endpoint):
            messages.error(request, NOT_SIGNED)
            return redirect("subscriber", endpoint_id)
        context = {
            "endpoint": endpoint,
            "newest": _newest(endpoint),
            "overlap_h": ROTATION_OVERLAP.total_seconds() / 3600,
        }
        return render(request, "console/subscriber_rotate.html", context)

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = endpoint_of(self.principal, endpoint_id, self.permission)
        made = rotated(endpoint, actor_of(request), request.POST.get("newest", "")) if is_signed(endpoint) else None
        if made is None:
            messages.error(request, ROTATED_MEANWHILE if is_signed(endpoint) else NOT_SIGNED)
            return redirect("subscriber", endpoint_id)
        return render(request, "console/subscriber_secret.html", {"endpoint": endpoint, "made": made})


def rotated(endpoint: Endpoint, actor: Actor, newest: str) -> Shown | None:
    """`newest`: the key of the secret that the person saw as the newest, "" when there was none. None: it is not any more; a
    page that is sent twice must not rotate twice."""
    with transaction.atomic():
        Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        if _newest(endpoint) != newest:
            return None
        value = rotate_secret(endpoint, actor)
    is_public = value.startswith(PUBLIC_PREFIX)
    words = "The public key, by which its receiver verifies v1a signatures" if is_public else "The new signing secret"
    return Shown(words, value, not is_public)


def _newest(endpoint: Endpoint) -> str:
    newest = endpoint.secrets.order_by("-pk").values_list("pk", flat=True).first()
    return str(newest or "")
