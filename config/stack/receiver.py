"""The demo's subscriber: takes webhooks, checks their signatures as any receiver would, and shows what came.

    python -m config.stack.receiver --port 9000 --secrets .stack/receiver.json

`POST /PATH` answers 204, or 401 when none of the path's secrets signed it. `GET /` shows the last receipts to people,
`GET /received?event=ID` and `GET /received` to programs. The secrets file is a JSON object, path to list of whsec_…;
it is read again when it changes. Receipts live in memory only.
"""

from __future__ import annotations

import argparse
import html
import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

from config.stack.ports import LOOPBACK

RECEIPTS_KEPT = 5_000
RECEIPTS_SHOWN = 100
BODY_BYTES_MAX = 5 * 1024 * 1024


@dataclass(frozen=True)
class Receipt:
    """One request that came. `received_at` is Unix time in seconds, taken when the body was there."""

    path: str
    received_at: float
    verified: bool
    webhook_id: str
    event: str
    type: str
    subject: str


class Inbox:
    """The last receipts, and the secrets by which they are judged. Used by many threads."""

    def __init__(self, secrets_file: Path) -> None:
        self._secrets_file = secrets_file
        self._lock = threading.Lock()
        self._receipts: deque[Receipt] = deque(maxlen=RECEIPTS_KEPT)
        self._hooks: dict[str, list[Webhook]] = {}
        self._read_at = -1

    def take(self, path: str, headers: Message[str, str], body: bytes) -> bool:
        """Keeps a receipt; True when the signature is right."""
        received_at = time.time()
        verified = self._is_signed(path, headers, body)
        receipt = Receipt(path, received_at, verified, headers.get("webhook-id", ""), *event_attributes(headers, body))
        with self._lock:
            self._receipts.append(receipt)
        return verified

    def receipts(self, event: str | None = None) -> list[Receipt]:
        """Oldest first."""
        with self._lock:
            return [receipt for receipt in self._receipts if event is None or receipt.event == event]

    def _is_signed(self, path: str, headers: Message[str, str], body: bytes) -> bool:
        for hook in self._hooks_of(path):
            try:
                hook.verify(body, dict(headers.items()), json_parse=False)
            except (WebhookVerificationError, ValueError):  # the package lets bad base64 through as a ValueError
                continue
            return True
        return False

    def _hooks_of(self, path: str) -> list[Webhook]:
        with self._lock:
            changed_at = self._secrets_file.stat().st_mtime_ns if self._secrets_file.exists() else -1
            if changed_at != self._read_at:
                secrets = json.loads(self._secrets_file.read_text())
                self._hooks = {key: [Webhook(secret) for secret in of_path] for key, of_path in secrets.items()}
                self._read_at = changed_at
            return self._hooks.get(path, [])


def event_attributes(headers: Message[str, str], body: bytes) -> tuple[str, str, str]:
    """Id, type and subject of the CloudEvent, in binary or in structured mode, or of v1; empty where there is none."""
    if "ce-id" in headers:
        return headers["ce-id"], headers.get("ce-type", ""), headers.get("ce-subject", "")
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return "", "", ""
    found = event.get("event_id") or event.get("id"), event.get("event") or event.get("type"), event.get("subject")
    event_id, event_type, subject = (str(value or "") for value in found)
    return event_id, event_type, subject


class Receiver(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, secrets_file: Path) -> None:
        super().__init__((LOOPBACK, port), Request)
        self.inbox = Inbox(secrets_file)


class Request(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 300
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            return self._answer(HTTPStatus.LENGTH_REQUIRED if not length else HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        signed = self.server.inbox.take(urlsplit(self.path).path, self.headers, self.rfile.read(int(length)))
        return self._answer(HTTPStatus.NO_CONTENT if signed else HTTPStatus.UNAUTHORIZED)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            return self._answer(HTTPStatus.OK, page(self.server.inbox.receipts()), "text/html; charset=utf-8")
        if url.path == "/received":
            event = parse_qs(url.query).get("event", [None])[0]
            found = {"receipts": [asdict(receipt) for receipt in self.server.inbox.receipts(event)]}
            return self._answer(HTTPStatus.OK, json.dumps(found), "application/json")
        return self._answer(HTTPStatus.NOT_FOUND)

    def _answer(self, status: HTTPStatus, text: str = "", content_type: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the page shows what came."""


ROW = "<tr><td>{time}</td><td>{path}</td><td>{type}</td><td>{subject}</td><td>{event}</td><td>{verdict}</td></tr>"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Demo receiver</title><meta http-equiv="refresh" content="5">
<style>body {{ font: 1rem/1.4 system-ui; margin: 2rem; color-scheme: light dark }} td, th {{ text-align: left;
padding: .2rem 1rem .2rem 0 }}</style></head>
<body><h1>Demo receiver</h1><p>{count} webhooks received since it started; the last {shown} are below, newest first.</p>
<table><tr><th>Received (UTC)</th><th>Path</th><th>Type</th><th>Subject</th><th>Event id</th><th>Signature</th></tr>
{rows}
</table></body></html>
"""


def page(receipts: list[Receipt]) -> str:
    shown = receipts[-RECEIPTS_SHOWN:][::-1]
    return PAGE.format(count=len(receipts), shown=len(shown), rows="\n".join(map(_row, shown)))


def _row(receipt: Receipt) -> str:
    when = datetime.fromtimestamp(receipt.received_at, UTC)
    cells = {name: html.escape(str(value)) for name, value in asdict(receipt).items()}
    return ROW.format(**cells, time=f"{when:%H:%M:%S.%f}"[:-3], verdict="ok" if receipt.verified else "✗ refused")


def main() -> None:
    options = argparse.ArgumentParser(description="A subscriber that verifies the webhooks it gets.")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--secrets", type=Path, required=True)
    given = options.parse_args()
    Receiver(given.port, given.secrets).serve_forever()


if __name__ == "__main__":
    main()
