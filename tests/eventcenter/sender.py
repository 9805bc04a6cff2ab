"""A publisher as others write one: signs with the public `standardwebhooks` package, sends through Django's test client."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from eventcenter.models import IdempotencyKey, OutboxMessage
from eventcenter.problems import PROBLEM_JSON
from eventcenter.standardwebhooks import decode_secret, generate_secret, sign
from subscriptions.models import Tenant
from tests.factories import PublishKeyFactory, TenantFactory, release_data

URL = "/internal/events/publish"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PUBLISHED = "plugin.release.published"
_numbers = count()


def event(tenant: str = "acme", /, **changes: Any) -> dict[str, Any]:
    """A release that is valid for `tenant`; a change of `...` leaves the member out."""
    made = {
        "specversion": "1.0",
        "id": f"release-{next(_numbers)}",
        "source": "/pipelines/release",
        "type": PUBLISHED,
        "subject": "payments-gateway",
        "data": release_data("payments-gateway", "2.4.1", tenant, timezone.now()),
    }
    return {name: value for name, value in (made | changes).items() if value is not ...}


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


@dataclass
class Sender:
    """Signs what it sends; `key_id` and `secret` are the test's to change."""

    key_id: str
    secret: str
    # An error in a view is answered as in production, so that a test sees the 500.
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def sign(self, body: bytes, *, at: float | None = None, msg_id: str = "") -> dict[str, str]:
        msg_id = msg_id or f"msg_{uuid4().hex}"
        moment = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
        return {
            "x-publish-key": self.key_id,
            "webhook-id": msg_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": _signature(self.secret, msg_id, moment, body),
        }

    def post(
        self,
        body: bytes,
        content_type: str = STRUCTURED,
        headers: dict[str, str] | None = None,
        signing: dict[str, str] | None = None,
        **environ: Any,
    ) -> HttpResponse:
        """`signing` replaces the headers that would be made for `body`; `environ` goes into the WSGI environment."""
        signed = self.sign(body) if signing is None else signing
        # Set by hand: Django's client gives an empty body no type, and encodes the body by the type's charset.
        environ = {"CONTENT_TYPE": content_type, **environ}
        sent = {**signed, **(headers or {})}
        return self.client.post(URL, data=body, content_type="application/octet-stream", headers=sent, **environ)

    def structured(self, sent: dict[str, Any], **headers: str) -> HttpResponse:
        return self.post(json.dumps(sent).encode(), headers={n.replace("_", "-"): v for n, v in headers.items()})

    def batch(self, events: list[Any]) -> HttpResponse:
        return self.post(json.dumps(events).encode(), BATCH)

    def binary(self, attributes: dict[str, str], data: bytes, content_type: str = "application/json") -> HttpResponse:
        return self.post(data, content_type, {f"ce-{name}": value for name, value in attributes.items()})


def _signature(secret: str, msg_id: str, moment: datetime, body: bytes) -> str:
    try:
        return Webhook(secret).sign(msg_id, moment, body.decode())
    except UnicodeDecodeError:  # the package signs text only
        return sign([decode_secret(secret)], msg_id, int(moment.timestamp()), body)


def new_sender(tenant: str = "acme", **values: Any) -> Sender:
    """With a key of its own; `values` are the key's."""
    secret = generate_secret()
    owner = Tenant.objects.filter(slug=tenant).first() or TenantFactory(slug=tenant)
    return Sender(PublishKeyFactory(tenant=owner, secret=secret, **values).key_id, secret)


def kept() -> tuple[int, int]:
    """How many idempotency keys and outbox rows there are."""
    return IdempotencyKey.objects.count(), OutboxMessage.objects.count()


def refused(response: HttpResponse, status: int, kind: str) -> list[tuple[str, int | None]]:
    """The fields and indexes named, after the checks that every refusal passes: a problem, and nothing kept."""
    problem = json.loads(response.content)
    assert (response.status_code, problem["type"]) == (status, f"urn:event-center:problem:{kind}"), problem
    assert response["Content-Type"] == PROBLEM_JSON
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert kept() == (0, 0)
    return [(error["field"], error.get("index")) for error in problem.get("errors", ())]


def accepted(response: HttpResponse) -> list[dict[str, Any]]:
    assert response.status_code == 202, response.content
    assert response["Content-Type"] == "application/json"
    body: dict[str, Any] = json.loads(response.content)
    assert list(body) == ["events"]
    return list(body["events"])


def accepted_one(response: HttpResponse) -> dict[str, Any]:
    (receipt,) = accepted(response)
    return receipt
