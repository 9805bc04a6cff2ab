"""A local Events API v2 that checks each request by PagerDuty's documented rules and answers as PagerDuty does.

Rules: PagerDuty developer docs, "Send an Alert Event" and "Events API v2 Overview"; the answers' form: PagerDuty/api-schema,
reference/events-v2/openapiv3.json.
"""

from __future__ import annotations

import json
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATH = "/v2/enqueue"
MAX_BYTES = 512 * 1024
TOP = {"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}
PAYLOAD = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
SEVERITIES = {"critical", "error", "warning", "info"}


def complaints(event: Any) -> list[str]:
    """What PagerDuty would not take."""
    if not isinstance(event, dict):
        return ["JSON parse error"]
    found = [f"'{name}' is no field" for name in event.keys() - TOP]
    if len(str(event.get("routing_key", ""))) != 32:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        found.append("'event_action' is invalid")
    if not 0 < len(event.get("dedup_key", "x")) <= 255:
        found.append("'dedup_key' is invalid (at most 255 characters)")
    if not all(isinstance(link, dict) and link.get("href") for link in event.get("links", [])):
        found.append("'links' is invalid (each has an href)")
    wants_payload = event.get("event_action") == "trigger" or "payload" in event
    if not wants_payload and not event.get("dedup_key"):
        found.append("'dedup_key' is missing or blank")
    return found + (_payload_complaints(event.get("payload")) if wants_payload else [])


def _payload_complaints(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = [f"'payload.{name}' is no field" for name in payload.keys() - PAYLOAD]
    found += [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not payload.get(name)]
    if len(payload.get("summary", "")) > 1024:
        found.append("'payload.summary' is too long (at most 1024 characters)")
    if payload.get("severity") not in SEVERITIES:
        found.append("'payload.severity' is invalid (must be one of critical, warning, error or info)")
    if not isinstance(payload.get("custom_details", {}), dict):
        found.append("'payload.custom_details' is invalid (must be an object)")
    if "timestamp" in payload and not _is_time(payload["timestamp"]):
        found.append("'payload.timestamp' is invalid")
    return found


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


class PagerDuty:
    """`alerts`: what was taken, by dedup_key, each with its events. `answers`: statuses to give instead, in turn. While
    `answering` is cleared, requests hang."""

    def __init__(self) -> None:
        self.alerts: dict[str, list[dict[str, Any]]] = {}
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests = 0
        self.answering = threading.Event()
        self.answering.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not outer.answering.wait(0):
                    outer.answering.wait(30)
                    return
                status, headers, said = outer.judge(self.path, self.headers["content-type"], body)
                data = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def judge(self, path: str, content_type: str, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers, JSON."""
        self.requests += 1
        if self.answers:
            status, headers = self.answers.pop(0)
            return status, headers, {"status": "throttle exceeded" if status == 429 else "error", "message": "Later"}
        if path != PATH or content_type != "application/json" or len(body) > MAX_BYTES:
            return 400, {}, {"status": "Unrecognized object", "message": "Event object format is unrecognized"}
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        found = complaints(event)
        if found:
            return 400, {}, {"status": "invalid event", "message": "Event object is invalid", "errors": found}
        self.alerts.setdefault(event["dedup_key"], []).append(event)
        return 202, {}, {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}

    @property
    def events(self) -> list[tuple[str, str]]:
        """(dedup_key, event_action) of each that was taken, by dedup_key."""
        return [(key, event["event_action"]) for key, taken in self.alerts.items() for event in taken]

    def close(self) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
