"""A receiver as subscribers write them: it verifies with the public `standardwebhooks` package. A test may make it do wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Request:
    headers: dict[str, str]  # lower-case names
    body: bytes


def verifies(webhook: Webhook, request: Request) -> bool:
    try:
        webhook.verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


Behaviour = Callable[["VerifyingReceiver", Request], int]  # the status to answer with


def right(receiver: VerifyingReceiver, request: Request) -> int:
    return 204 if verifies(receiver.webhook, request) else 401


class VerifyingReceiver:
    """Use as a context manager. `requests` holds what came, in order."""

    def __init__(self, secret: str, behaviour: Behaviour = right, location: str = "") -> None:
        self.webhook = Webhook(secret)
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self._server = _Server(self, location)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: VerifyingReceiver, location: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver
        self.location = location


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = Request({name.lower(): value for name, value in self.headers.items()}, body)
        receiver = self.server.receiver
        status = receiver.behaviour(receiver, request)
        with receiver.lock:
            receiver.requests.append(request)
        try:
            self.send_response(status)
            if self.server.location:
                self.send_header("Location", self.server.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except ConnectionError:
            pass  # the sender waited no longer

    def log_message(self, format: str, *args: object) -> None:
        return None


def slow(seconds: float) -> Behaviour:
    def behaviour(receiver: VerifyingReceiver, request: Request) -> int:
        time.sleep(seconds)
        return right(receiver, request)

    return behaviour
