"""Receive Event Center's webhooks: verify each, keep it once, answer at once. The work is done later, from the inbox.

WEBHOOK_SECRET=whsec_… PORT=8080 INBOX=inbox python receive.py
"""

import os
import re
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
INBOX = Path(os.environ.get("INBOX", "inbox"))
MAX_BYTES = 1024 * 1024


def keep(message_id: str, body: bytes) -> bool:
    """Whether it is new. It is on the disk when this returns; a name can be given once only, so a repeat changes nothing."""
    with tempfile.NamedTemporaryFile(dir=INBOX, prefix=".") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, INBOX / f"{message_id}.json")
        except FileExistsError:
            return False
    return True


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(length)  # verified as it came: JSON that was parsed and written again has other bytes
        try:
            WEBHOOK.verify(body, dict(self.headers), json_parse=False)  # refuses a timestamp 5 minutes off, too
        except (WebhookVerificationError, ValueError):
            self.answer(401)
            return
        self.answer(*self.take(self.headers["webhook-id"], body))

    def take(self, message_id: str, body: bytes) -> tuple[int, dict[str, str]]:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", message_id):
            return 400, {}
        try:
            print("new" if keep(message_id, body) else "repeat", message_id, flush=True)
        except OSError:  # a full disk, say: let Event Center keep it for a minute
            return 503, {"Retry-After": "60"}
        return 204, {}

    def answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()


INBOX.mkdir(exist_ok=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver).serve_forever()
