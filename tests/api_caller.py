"""Somebody who calls the REST API: with a key, or signed in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from eventcenter.access.roles import KEY_SCOPES, Role
from eventcenter.problems import PROBLEM_JSON
from subscriptions.models import Tenant
from tests.factories import ApiKeyFactory, UserFactory, text_of

ROOT = "/internal/events"


@dataclass
class Caller:
    client: Client
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Any:
        return self._call("get", path, None, headers)

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        return self._call("post", path, body, headers)

    def patch(self, path: str, body: object, **headers: str) -> Any:
        return self._call("patch", path, body, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._call("delete", path, None, headers)

    def tag(self, path: str) -> str:
        """The ETag to change it with."""
        return str(self.get(path)["ETag"])

    def _call(self, method: str, path: str, body: object, headers: dict[str, str]) -> Any:
        sent = "" if body is None else json.dumps(body)
        named = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        address = path if path.startswith(ROOT) else f"{ROOT}/{path}"
        if method == "get":
            return self.client.get(address, headers=named)
        return getattr(self.client, method)(address, sent, content_type="application/json", headers=named)


def with_key(tenant: Tenant, *scopes: str) -> Caller:
    key = ApiKeyFactory(tenant=tenant, scopes=list(scopes or KEY_SCOPES))
    return Caller(Client(), {"authorization": f"Bearer {text_of(key)}"})


def signed_in(*roles: tuple[Tenant | None, Role]) -> Caller:
    client = Client()
    client.force_login(UserFactory(roles=roles))
    return Caller(client)


def fields(response: Any, status: int) -> dict[str, str]:
    """Field → message, of a refusal."""
    body = json.loads(response.content)
    assert (response.status_code, response["Content-Type"]) == (status, PROBLEM_JSON), body
    return {error["field"]: error["message"] for error in body.get("errors", ())}


def slugs(response: Any) -> Sequence[str]:
    assert response.status_code == 200, response.content
    return [item["slug"] for item in response.json()["items"]]
