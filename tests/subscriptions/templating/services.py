"""What each service says that it takes, written from its documentation and not from our templates.

A checker takes a request as it stands on the wire and raises AssertionError for what the service would refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

Headers = Mapping[str, str]  # names in lower case
Checker = Callable[[str, Headers, bytes], None]


def _json_object(headers: Headers, body: bytes) -> dict[str, object]:
    assert headers["content-type"].partition(";")[0] == "application/json"
    found = json.loads(body.decode("utf-8"), parse_constant=lambda name: AssertionError(name))
    assert isinstance(found, dict)
    return found


def github(url: str, headers: Headers, body: bytes) -> None:
    """docs.github.com, "Create a repository dispatch event"."""
    assert re.search(r"/repos/[^/]+/[^/]+/dispatches$", urlsplit(url).path)
    assert headers["accept"] == "application/vnd.github+json"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", headers["x-github-api-version"])
    assert re.fullmatch(r"(Bearer|token) \S+", headers["authorization"])
    request = _json_object(headers, body)
    assert request.keys() <= {"event_type", "client_payload"}
    assert isinstance(request["event_type"], str)
    assert 1 <= len(request["event_type"]) <= 100
    payload = request.get("client_payload", {})
    assert isinstance(payload, dict)
    assert len(payload) <= 10
    assert len(json.dumps(payload, ensure_ascii=False).encode()) < 64 * 1024


def gitlab(url: str, headers: Headers, body: bytes) -> None:
    """docs.gitlab.com, "Trigger a pipeline with a token"."""
    assert re.search(r"/api/v4/projects/[^/]+/trigger/pipeline$", urlsplit(url).path)
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    form = dict(pairs)
    assert len(form) == len(pairs)
    assert form.pop("token")
    assert form.pop("ref")
    for name in form:
        assert re.fullmatch(r"variables\[[A-Za-z_][A-Za-z0-9_]*\]", name)


def jenkins(url: str, headers: Headers, body: bytes) -> None:
    """The README of jenkinsci/generic-webhook-trigger-plugin."""
    parts = urlsplit(url)
    assert parts.path.endswith("/generic-webhook-trigger/invoke")
    bearer = headers.get("authorization", "").startswith("Bearer ")
    assert headers.get("token") or bearer or "token=" in parts.query
    _json_object(headers, body)


def slack(url: str, headers: Headers, body: bytes) -> None:
    """docs.slack.dev: incoming webhooks, and "Formatting text for app surfaces"."""
    assert re.fullmatch(r"/services/[^/]+/[^/]+/[^/]+", urlsplit(url).path)
    text = _json_object(headers, body)["text"]
    assert isinstance(text, str)
    assert text.strip()
    assert len(text) <= 40_000
    # A bare & is shown as it is, but a value may not bring entities of its own or open a link or a mention.
    for inner in re.findall(r"<([^>]*)>", text):
        assert re.match(r"https?://", inner), "only links stand between < and >"


def pagerduty(url: str, headers: Headers, body: bytes) -> None:
    """developer.pagerduty.com, Events API v2, "Send an Alert Event", and the size limit of its overview."""
    assert urlsplit(url).path == "/v2/enqueue"
    assert len(body) <= 512 * 1000
    event = _json_object(headers, body)
    assert isinstance(event["routing_key"], str)
    assert len(event["routing_key"]) == 32
    assert event["event_action"] in ("trigger", "acknowledge", "resolve")
    dedup_key = event.get("dedup_key", "x")
    assert isinstance(dedup_key, str)
    assert 1 <= len(dedup_key) <= 255
    _pagerduty_payload(event["payload"])
    links = event.get("links", [])
    assert isinstance(links, list)
    for link in links:
        assert isinstance(link["href"], str)
        assert link["href"]


def _pagerduty_payload(payload: object) -> None:
    assert isinstance(payload, dict)
    assert isinstance(payload["summary"], str)
    assert 1 <= len(payload["summary"]) <= 1024
    assert isinstance(payload["source"], str)
    assert payload["source"]
    assert payload["severity"] in ("critical", "error", "warning", "info")
    for name in ("component", "group", "class"):
        assert isinstance(payload.get(name, ""), str)
    assert isinstance(payload.get("custom_details", {}), dict)
    if "timestamp" in payload:
        datetime.fromisoformat(payload["timestamp"])


def plain(url: str, headers: Headers, body: bytes) -> None:
    """docs/guides/templates.md."""
    event = _json_object(headers, body)
    assert (
        {"id", "type", "source"} <= event.keys() <= {"id", "type", "source", "subject", "timestamp", "tenant", "data"}
    )


CHECKERS: dict[str, Checker] = {
    "github": github,
    "gitlab": gitlab,
    "jenkins": jenkins,
    "slack": slack,
    "pagerduty": pagerduty,
    "plain": plain,
}
URLS = {
    "github": "https://api.github.com/repos/acme/deploy/dispatches",
    "gitlab": "https://gitlab.com/api/v4/projects/42/trigger/pipeline",
    "jenkins": "https://ci.acme.example/generic-webhook-trigger/invoke",
    "slack": "https://hooks.slack.com/services/T000/B000/abc",
    "pagerduty": "https://events.pagerduty.com/v2/enqueue",
    "plain": "https://hooks.acme.example/releases",
}
CREDENTIALS = {
    "github": {"token": "ghp_example"},
    "gitlab": {"token": "glptt-example"},
    "jenkins": {"token": "jenkins-example"},
    "slack": {},
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "plain": {},
}
