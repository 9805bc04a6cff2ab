"""The outermost middleware: what a request is called in the log and in its answer, and the span of an API call."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry.trace import Span, SpanKind

from config.logs import SERVED
from config.middleware import Next
from eventcenter import log_context
from eventcenter.envelope import parse_traceparent
from eventcenter.log_context import Serving
from eventcenter.tracing import names, spans, w3c

REQUEST_ID = "X-Request-ID"
API = (
    "/internal/"  # pages of the console poll, and health checks come all the time: they are no part of an event's trace
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_context(get_response: Next) -> Next:
    """The id is the caller's X-Request-ID where it is one, and stands in the answer. A trace that the caller gives goes on."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        given = parse_traceparent(request.headers.get("traceparent")) or ""
        state = w3c.parse_tracestate(request.headers.get("tracestate")) if given else ""
        request_id = log_context.request_id_of(request.headers.get(REQUEST_ID))
        span = _begin(request, request_id, given)
        here = spans.context_of(span).text() if span else given
        served = request.META[SERVED] = Serving(request_id, here, state)
        with log_context.entered(served):
            response = get_response(request)
        response.headers[REQUEST_ID] = request_id
        if span is not None:
            _end(span, request, response.status_code)
        return response

    return respond


def _begin(request: HttpRequest, request_id: str, given: str) -> Span | None:
    if not request.path.startswith(API):
        return None
    attributes: dict[str, spans.Value] = {names.HTTP_METHOD: _method(request), names.REQUEST_ID: request_id}
    return spans.begin(_method(request), SpanKind.SERVER, w3c.parse(given), attributes)


def _end(span: Span, request: HttpRequest, status: int) -> None:
    """The route is a pattern of ours: a path may hold ids, and a query anything."""
    route = getattr(request.resolver_match, "route", None)
    if route is not None:
        span.update_name(f"{_method(request)} /{route}")
        span.set_attribute(names.HTTP_ROUTE, f"/{route}")
    span.set_attribute(names.HTTP_STATUS, status)
    spans.end(span, str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def _method(request: HttpRequest) -> str:
    return str(request.method) if request.method in METHODS else "_OTHER"
