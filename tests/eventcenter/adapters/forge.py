"""The forges as they call: each proves itself as it documents, through Django's test client."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.http import HttpResponse
from django.test import Client
from standardwebhooks.webhooks import Webhook

from eventcenter.models import Adapter, AdapterCount, AdapterKind
from eventcenter.problems import PROBLEM_JSON
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Tenant
from tests.eventcenter.adapters import payloads
from tests.factories import AdapterFactory, TenantFactory

JSON = "application/json"
EVENTS = "application/vnd.docker.distribution.events.v2+json"
VALID: dict[AdapterKind, payloads.Json] = {
    AdapterKind.GITHUB: payloads.github(),
    AdapterKind.GITLAB: payloads.gitlab(),
    AdapterKind.OCI: payloads.oci(),
    AdapterKind.HARBOR: payloads.harbor(),
}


@dataclass
class ForgeClient:
    """One webhook at one forge; `secret` is the test's to change."""

    adapter: Adapter
    secret: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    @property
    def url(self) -> str:
        return f"/internal/events/adapters/{self.adapter.public_id}"

    def proof(self, body: bytes) -> dict[str, str]:
        match AdapterKind(self.adapter.kind):
            case AdapterKind.GITHUB:
                digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
                return {"X-GitHub-Event": "release", "X-Hub-Signature-256": f"sha256={digest}"}
            case AdapterKind.GITLAB:
                return {"X-Gitlab-Event": "Release Hook", "X-Gitlab-Token": self.secret}
        return {"Authorization": f"Bearer {self.secret}"}

    def signed_by_gitlab(self, body: bytes, at: float | None = None) -> dict[str, str]:
        """GitLab's signing token, made with the public package."""
        msg_id, moment = str(uuid4()), datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
        signature = Webhook(self.secret).sign(msg_id, moment, body.decode())
        return {
            "webhook-id": msg_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
        }

    def post(
        self,
        payload: Any,
        media_type: str = JSON,
        headers: dict[str, str] | None = None,
        proof: dict[str, str] | None = None,
        **environ: Any,
    ) -> HttpResponse:
        """`proof` replaces the headers that would be made for the body."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        sent = {**(self.proof(body) if proof is None else proof), **(headers or {})}
        environ = {"CONTENT_TYPE": media_type, **environ}
        return self.client.post(self.url, data=body, content_type="application/octet-stream", headers=sent, **environ)

    def counts(self) -> dict[tuple[str, str], int]:
        """(outcome, reason) → how often."""
        rows = AdapterCount.objects.filter(adapter=self.adapter).values_list("outcome", "reason", "count")
        found: dict[tuple[str, str], int] = {}
        for outcome, reason, count in rows:  # a test may run over the end of a minute
            found[outcome, reason] = found.get((outcome, reason), 0) + count
        return found


def new_forge(kind: AdapterKind = AdapterKind.GITHUB, tenant: str = "acme", **values: Any) -> ForgeClient:
    """With an adapter of its own; `values` are the adapter's."""
    secret = generate_secret()
    owner = Tenant.objects.filter(slug=tenant).first() or TenantFactory(slug=tenant)
    return ForgeClient(AdapterFactory(tenant=owner, kind=kind, secret=secret, **values), secret)


def answer(response: HttpResponse) -> dict[str, Any]:
    assert response.status_code == 202, response.content
    assert response["Content-Type"] == JSON
    body: dict[str, Any] = json.loads(response.content)
    return body


def refusal(response: HttpResponse, status: int) -> dict[str, Any]:
    problem: dict[str, Any] = json.loads(response.content)
    assert response.status_code == problem["status"] == status, problem
    assert response["Content-Type"] == PROBLEM_JSON
    return problem
