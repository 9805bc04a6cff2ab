"""A sample through an endpoint's own settings, on demand."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.trail import Actor
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.sample_send import DEFAULT_TYPE, BusyError, CannotSendError, Sent, send_alone
from eventcenter.access.roles import Permission
from eventcenter.api.fields import Text
from eventcenter.api.operation import operation
from eventcenter.api.shapes import Answer, Body
from eventcenter.problems import FieldError, Problem
from subscriptions.api.endpoints import EndpointApi
from subscriptions.api.subscriptions import SubscriptionApi, read
from subscriptions.models import Endpoint

RETRY_AFTER_S = 5


class SampleBody(Body):
    type = Text(default=DEFAULT_TYPE, max_length=200, help_text="An event type whose schema has an example.")


class SampleAnswer(Answer):
    """What came of it."""

    delivered = serializers.BooleanField()
    outcome = serializers.ChoiceField([kind.value for kind in OutcomeKind])
    words = serializers.CharField()
    status_code = serializers.IntegerField(allow_null=True)
    error_kind = serializers.ChoiceField([kind.value for kind in ErrorKind], allow_blank=True)
    duration_ms = serializers.FloatField()
    response_body = serializers.CharField()


def send_sample(endpoint: Endpoint, actor: Actor, request: Request) -> Response:
    event_type = read(SampleBody, request)["type"]
    try:
        sent = send_alone(endpoint, actor, event_type)
    except BusyError as error:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "busy", str(error), headers=headers) from None
    except CannotSendError as error:
        raise Problem(HTTPStatus.CONFLICT, "not-possible", str(error), [FieldError("type", str(error))]) from None
    return Response(SampleAnswer(_shown(sent)).data)


def _shown(sent: Sent) -> dict[str, object]:
    return {
        "delivered": sent.is_delivered,
        "outcome": sent.outcome.kind.value,
        "words": sent.words,
        "status_code": sent.outcome.status_code,
        "error_kind": sent.outcome.error_kind.value,
        "duration_ms": sent.outcome.duration_ms,
        "response_body": sent.shown_body,
    }


class EndpointTestSend(EndpointApi):
    @operation("test_endpoint", Permission.OPERATE, answer=SampleAnswer, body=SampleBody, refusals=(409, 429))
    def post(self, request: Request, pk: int) -> Response:
        """Sends a sample, marked as a test, and waits for the answer. One at a time for each endpoint."""
        return send_sample(self.endpoint(pk), self.principal.actor, request)


class SubscriptionTestSend(SubscriptionApi):
    @operation("test_subscription", Permission.OPERATE, answer=SampleAnswer, body=SampleBody, refusals=(409, 429))
    def post(self, request: Request, pk: int) -> Response:
        """To the subscription's endpoint, whatever its rule says."""
        return send_sample(self.subscription(pk).endpoint, self.principal.actor, request)
