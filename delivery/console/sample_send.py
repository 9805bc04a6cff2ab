"""The page "Send a test event" of an endpoint; the admin's endpoint page links to it by name."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView
from delivery.sample_send import DEFAULT_TYPE, CannotSendError, sample_types, send_test
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from subscriptions.channels.registry import destination_of
from subscriptions.models import Endpoint


class EndpointTestSend(ConsoleView):
    """GET asks for the event type, POST sends and shows the answer."""

    permission = Permission.OPERATE

    def get(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        return _page(request, _endpoint(self.principal, endpoint_id))

    def post(self, request: HttpRequest, endpoint_id: int) -> HttpResponse:
        endpoint = _endpoint(self.principal, endpoint_id)
        event_type = request.POST.get("type", DEFAULT_TYPE)
        try:
            sent = send_test(endpoint, actor_of(request), event_type)
        except CannotSendError as error:
            return _page(request, endpoint, type=event_type, refusal=str(error))
        return _page(request, endpoint, type=event_type, sent=sent)


def _endpoint(principal: Principal, endpoint_id: int) -> Endpoint:
    """Raises Http404 or PermissionDenied."""
    endpoint = get_object_or_404(within(Endpoint.objects.select_related("tenant"), principal), pk=endpoint_id)
    require(principal, Permission.OPERATE, endpoint.tenant_id)
    return endpoint


def _page(request: HttpRequest, endpoint: Endpoint, **found: object) -> HttpResponse:
    context = {"endpoint": endpoint, "destination": destination_of(endpoint), "types": sample_types()}
    return render(request, "console/test_send.html", context | {"type": DEFAULT_TYPE} | found)
