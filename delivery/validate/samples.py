"""The requests that show what a receiver does: one that is right, and each way in which one can be wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from eventcenter.envelope import STRUCTURED_CONTENT_TYPE, Envelope, split_structured, to_structured
from eventcenter.standardwebhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE_S, SigningKey, sign
from subscriptions.models import ContentMode

# Clearly outside the tolerance, whatever a second or a slow clock does.
OUT_OF_TOLERANCE_S = 2 * TOLERANCE_S
TENANT, PLUGIN, VERSION, OTHER_VERSION = "acme", "webhook-check", "2.4.1", "9.9.9"
# What a later version of ours may add to a request, and a receiver must not mind.
EXTRA_HEADERS = (
    ("x-event-center-replay", "true"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("x-event-center-unknown", "a header that no page tells of"),
)
EXTRA_ATTRIBUTES: dict[str, str | int | bool] = {"unknownextension": "an attribute that no page tells of"}

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, as it goes out."""

    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes samples of one event. `now` in epoch seconds; `wrong` is a secret that the receiver does not have."""

    secret: SigningKey
    wrong: SigningKey
    mode: ContentMode
    event_id: str
    msg_id: str
    now: int

    def right(self) -> Sample:
        return self._signed([self.secret])

    def wrong_signature(self) -> Sample:
        return self._signed([self.wrong])

    def stale(self) -> Sample:
        return self._signed([self.secret], at=self.now - OUT_OF_TOLERANCE_S)

    def from_the_future(self) -> Sample:
        return self._signed([self.secret], at=self.now + OUT_OF_TOLERANCE_S)

    def changed_body(self) -> Sample:
        right = self.right()
        return replace(right, body=right.body.replace(VERSION.encode(), OTHER_VERSION.encode()))

    def unsigned(self) -> Sample:
        right = self.right()
        return replace(right, headers=tuple(pair for pair in right.headers if pair[0] != SIGNATURE_HEADER))

    def rotating(self) -> Sample:
        """Two signatures, the receiver's own second: the new secret signs before it has reached the receiver."""
        return self._signed([self.wrong, self.secret])

    def with_extra_headers(self) -> Sample:
        right = self.right()
        return replace(right, headers=(*right.headers, *EXTRA_HEADERS))

    def with_extra_attributes(self) -> Sample:
        return self._signed([self.secret], extensions=EXTRA_ATTRIBUTES)

    def _signed(
        self,
        secrets: Sequence[SigningKey],
        at: int | None = None,
        extensions: dict[str, str | int | bool] | None = None,
    ) -> Sample:
        timestamp = self.now if at is None else at
        attributes, content_type, body = self._content(extensions or {})
        headers: Headers = (
            (ID_HEADER, self.msg_id),
            (TIMESTAMP_HEADER, str(timestamp)),
            ("content-type", content_type),
            *attributes,
            (SIGNATURE_HEADER, sign(secrets, self.msg_id, timestamp, body)),
        )
        return Sample(headers, body)

    def _content(self, extensions: dict[str, str | int | bool]) -> tuple[Headers, str, bytes]:
        structured = to_structured(sample_event(self.event_id, self.now, extensions))
        if self.mode is ContentMode.STRUCTURED:
            return (), f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8", structured
        attributes, content_type, data = split_structured(structured)
        return tuple(attributes), content_type, data


def sample_event(event_id: str, now: int, extensions: dict[str, str | int | bool]) -> Envelope:
    """A plugin.release.published v1 that its schema takes."""
    moment = datetime.fromtimestamp(now, UTC)
    data = {
        "plugin_id": PLUGIN,
        "version": VERSION,
        "channel": "stable",
        "tenant": TENANT,
        "artifact": {"digest": f"sha256:{'0' * 64}", "url": f"https://artifacts.{TENANT}.example/{PLUGIN}.tgz"},
        "changelog_url": f"https://docs.{TENANT}.example/{PLUGIN}/changelog",
        "released_by": f"release-bot@{TENANT}.example",
        "released_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": "0" * 40,
        "severity": "normal",
    }
    return Envelope(
        id=event_id,
        source="/event-center/validate",
        type="plugin.release.published",
        subject=PLUGIN,
        time=moment,
        tenant=TENANT,
        tags=("sample",),
        extensions=extensions,
        data=orjson.dumps(data),
    )
