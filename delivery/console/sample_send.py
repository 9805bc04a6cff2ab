"""The page "Send a test event" of an endpoint; the admin's endpoint page links to it by name."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView
from delivery.sample_send import DEFAULT_TYPE, CannotSendError, sample_types, send_test
from subscriptions.channels.registry import destination_of
from subscriptions.models import Endpoint


class EndpointTestSend(ConsoleView):
    """GET asks for the event type, POST sends and shows the answer. For those who may change endpoints."""

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        return _page(request, _endpoint(request, endpoint_id))

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = _endpoint(request, endpoint_id)
        event_type = request.POST.get("type", DEFAULT_TYPE)
        try:
            sent = send_test(endpoint, actor_of(request), event_type)
        except CannotSendError as error:
            return _page(request, endpoint, type=event_type, refusal=str(error))
        return _page(request, endpoint, type=event_type, sent=sent)


def _endpoint(request: HttpRequest, endpoint_id: int) -> Endpoint:
    if not request.user.has_perm("subscriptions.change_endpoint"):
        raise PermissionDenied
    return get_object_or_404(Endpoint.objects.select_related("tenant"), pk=endpoint_id)


def _page(request: HttpRequest, endpoint: Endpoint, **found: object) -> HttpResponse:
    context = {"endpoint": endpoint, "destination": destination_of(endpoint), "types": sample_types()}
    return render(request, "console/test_send.html", context | {"type": DEFAULT_TYPE} | found)
