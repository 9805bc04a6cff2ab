"""The demo: a few real plugins' releases, published through the public API as a pipeline would do it."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from standardwebhooks import Webhook

from config.stack.errors import StackError

RELEASES = Path(__file__).with_name("demo_releases.tsv")
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
SEVERITIES = ("normal", "normal", "important", "normal", "security")
HTTP_TIMEOUT_S = 10
RECEIVED_WITHIN_S = 10.0
# The receivers of one event come together; when none has come for this long, all have.
QUIET_S = 0.5
POLL_S = 0.01

Say = Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """What `manage.py load_demo --json` told, with the addresses of this run."""

    url: str
    receiver_url: str
    tenant: str
    publish_key_id: str
    publish_secret: str
    console_user: str
    console_password: str
    other_users: list[str]
    api_key: str


def releases() -> list[tuple[str, str]]:
    """Plugin and version; the file's first line names the columns."""
    rows = [line.split("\t") for line in RELEASES.read_text().splitlines()[1:]]
    return [(plugin, version) for plugin, version, _ in rows]


def release_event(tenant: str, plugin: str, version: str) -> dict[str, Any]:
    """A `plugin.release.published` CloudEvent with a new id; all but id and times follows from the arguments."""
    digest = hashlib.sha256(f"{plugin} {version}".encode()).hexdigest()
    severity = SEVERITIES[int(digest[:4], 16) % len(SEVERITIES)]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    base = f"https://artifacts.{tenant}.example/{plugin}"
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/pipelines/release",
        "type": "plugin.release.published",
        "subject": plugin,
        "time": now,
        "datacontenttype": "application/json",
        "tenant": tenant,
        "tags": f"stable,{severity}",
        "data": {
            "plugin_id": plugin,
            "version": version,
            "channel": "stable",
            "tenant": tenant,
            "artifact": {"digest": f"sha256:{digest}", "url": f"{base}/{version}.tgz"},
            "changelog_url": f"{base}/changelog#{version}",
            "released_by": f"release-bot@{tenant}.example",
            "released_at": now,
            "commit": digest[:40],
            "severity": severity,
        },
    }


def http(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text of the answer, whatever the status. Raises OSError when there is none."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request("GET" if body is None else "POST", f"{parts.path}?{parts.query}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except HTTPException as error:
        raise ConnectionError(f"{url} gave no HTTP answer: {error!r}") from None
    finally:
        connection.close()


def publish(demo: Demo, body: Any, content_type: str) -> Any:
    """One signed call of the publish API; returns the answer's JSON. Raises StackError when it is not accepted."""
    payload = json.dumps(body)
    message_id = f"msg_{uuid.uuid4().hex}"
    now = datetime.now(UTC)
    headers = {
        "content-type": content_type,
        "x-publish-key": demo.publish_key_id,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(demo.publish_secret).sign(message_id, now, payload),
    }
    try:
        status, text = http(f"{demo.url}/internal/events/publish", payload.encode(), headers)
    except OSError as error:
        raise StackError(f"the demo's release could not be published: {error}") from None
    if status != HTTPStatus.ACCEPTED:
        raise StackError(f"the demo's release was not accepted: HTTP {status} {text[:500]}")
    return json.loads(text)


def receipts_of(demo: Demo, event: str) -> list[dict[str, Any]]:
    """What the demo receiver got of one event, once nothing more comes; empty when nothing came in time."""
    started = changed = time.monotonic()
    found: list[dict[str, Any]] = []
    url = f"{demo.receiver_url}/received?{urlencode({'event': event})}"
    while time.monotonic() - started < RECEIVED_WITHIN_S and not (found and time.monotonic() - changed > QUIET_S):
        receipts = json.loads(http(url)[1])["receipts"]
        if len(receipts) > len(found):
            found, changed = receipts, time.monotonic()
        time.sleep(POLL_S)
    return found


def show(demo: Demo, say: Say) -> None:
    """Publishes all releases, and tells of the last one what happened and how long it took."""
    *many, one = [release_event(demo.tenant, plugin, version) for plugin, version in releases()]
    publish(demo, many, BATCH)
    say(f"{len(many)} releases published in one signed batch; now one more, step by step:")
    started = time.time()
    answer = publish(demo, one, STRUCTURED)
    accepted_ms = (time.time() - started) * 1000
    say("")
    for line in timeline(one, answer, accepted_ms, started, receipts_of(demo, one["id"])):
        say(line)
    say("")


def timeline(
    event: dict[str, Any], accepted: Any, accepted_ms: float, started: float, receipts: Sequence[dict[str, Any]]
) -> list[str]:
    lines = [
        f"  {event['data']['plugin_id']} {event['data']['version']}, tenant {event['tenant']}, event {event['id']}",
        "       0 ms  signed POST /internal/events/publish",
        f"  {accepted_ms:6.0f} ms  202 Accepted, stored as {accepted['events'][0]['id']}",
    ]
    for receipt in receipts:
        verdict = "signature ok" if receipt["verified"] else "SIGNATURE REFUSED"
        lines.append(f"  {(receipt['received_at'] - started) * 1000:6.0f} ms  webhook at {receipt['path']}, {verdict}")
    if not receipts:
        lines.append(f"  nothing was received within {RECEIVED_WITHIN_S:.0f} s; the worker's log may say why")
    return lines
