from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from config.stack.demo import http
from config.stack.ports import Ports
from config.stack.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
EVENT = {"specversion": "1.0", "id": "e-1", "type": "plugin.release.published", "subject": "<b>pytest-cov</b>"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    secrets = tmp_path / "receiver.json"
    secrets.write_text(json.dumps({"/ci-cd": [OTHER, SECRET]}))
    receiver = Receiver(Ports(tmp_path / "ports.json").get("receiver"), secrets)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{receiver.server_port}"
    receiver.shutdown()
    receiver.server_close()
    thread.join()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": "d-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("d-1", now, body.decode()),
    }


def receipts(url: str, event: str) -> list[dict[str, Any]]:
    status, text = http(f"{url}/received?event={event}")
    assert status == 200
    found: list[dict[str, Any]] = json.loads(text)["receipts"]
    return found


def test_webhook_is_taken_when_one_of_the_secrets_signed_it(url: str) -> None:
    body = json.dumps(EVENT).encode()
    assert http(f"{url}/ci-cd", body, signed(body)) == (204, "")
    (receipt,) = receipts(url, "e-1")
    assert receipt["verified"] is True
    assert (receipt["path"], receipt["webhook_id"], receipt["type"]) == ("/ci-cd", "d-1", "plugin.release.published")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(json.dumps(EVENT).encode(), "whsec_" + base64.b64encode(b"nobody's secret").decode()),
        signed(b"another body"),
        {**signed(json.dumps(EVENT).encode()), "webhook-timestamp": "1"},
        {**signed(json.dumps(EVENT).encode()), "webhook-signature": "v1,not base64"},
        {**signed(json.dumps(EVENT).encode()), "webhook-signature": "nonsense"},
    ],
)
def test_webhook_is_refused_and_shown_as_refused_when_the_signature_is_wrong(url: str, headers: dict[str, str]) -> None:
    assert http(f"{url}/ci-cd", json.dumps(EVENT).encode(), headers)[0] == 401
    assert [receipt["verified"] for receipt in receipts(url, "e-1")] == [False]


def test_webhook_is_refused_when_the_path_has_no_secrets(url: str) -> None:
    body = json.dumps(EVENT).encode()
    assert http(f"{url}/unknown", body, signed(body))[0] == 401


def test_event_is_recognized_in_binary_mode(url: str) -> None:
    body = b'{"plugin_id": "pytest-cov"}'
    assert http(f"{url}/ci-cd", body, {**signed(body), "ce-id": "e-2", "ce-type": "t", "ce-subject": "s"})[0] == 204
    assert [(r["type"], r["subject"]) for r in receipts(url, "e-2")] == [("t", "s")]


def test_event_is_recognized_in_v1(url: str) -> None:
    body = b'{"event": "plugin.release.published", "version": 1, "event_id": "e-3", "source": "/p", "subject": "s"}'
    assert http(f"{url}/ci-cd", body, signed(body)) == (204, "")
    (receipt,) = receipts(url, "e-3")
    assert (receipt["type"], receipt["subject"], receipt["verified"]) == ("plugin.release.published", "s", True)


def test_secrets_are_read_again_when_the_file_changes(url: str, tmp_path: Path) -> None:
    body = json.dumps(EVENT).encode()
    assert http(f"{url}/late", body, signed(body))[0] == 401
    (tmp_path / "receiver.json").write_text(json.dumps({"/late": [SECRET]}))
    assert http(f"{url}/late", body, signed(body))[0] == 204


def test_page_shows_what_came_without_trusting_it(url: str) -> None:
    body = json.dumps(EVENT).encode()
    http(f"{url}/ci-cd", body, signed(body))
    status, page = http(f"{url}/")
    assert status == 200
    assert "&lt;b&gt;pytest-cov&lt;/b&gt;" in page
    assert "<b>pytest-cov</b>" not in page


def test_connection_stays_open_between_webhooks(url: str) -> None:
    body = json.dumps(EVENT).encode()
    connection = HTTPConnection(url.removeprefix("http://"))
    for _ in range(3):
        connection.request("POST", "/ci-cd", body, signed(body))
        answer = connection.getresponse()
        assert answer.read() == b""
        assert (answer.status, answer.version, answer.will_close) == (204, 11, False)
    connection.close()
    assert len(receipts(url, "e-1")) == 3


@pytest.mark.parametrize(("length", "status"), [("", 411), ("99999999", 413)])
def test_body_is_refused_when_its_length_is_missing_or_too_large(url: str, length: str, status: int) -> None:
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.putrequest("POST", "/ci-cd")
    if length:
        connection.putheader("content-length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()
