"""Harbor's webhook, in both payload formats: goharbor.io/docs "Configure Webhook Notifications". Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from eventcenter.adapters.message import Ignored, Message, Moment, Reason, Rules, read_as, read_object
from eventcenter.adapters.oci import MAX_EVENTS, image_release, manifest_url
from eventcenter.adapters.release import Artifact, event_of
from eventcenter.envelope import Envelope

DEFAULT_PUSH = "PUSH_ARTIFACT"
CLOUDEVENTS_PUSH = "harbor.artifact.pushed"
_LAST_SECOND = 253_402_300_799  # of the year 9999


class _Head(msgspec.Struct):
    type: str


class _Resource(msgspec.Struct):
    digest: str
    resource_url: str
    tag: str = ""


class _Repository(msgspec.Struct):
    repo_full_name: str


class _Content(msgspec.Struct):
    resources: Annotated[list[_Resource], msgspec.Meta(max_length=MAX_EVENTS)]
    repository: _Repository


class _Default(msgspec.Struct):
    occur_at: Annotated[int, msgspec.Meta(ge=0, le=_LAST_SECOND)]
    event_data: _Content
    operator: str = ""


class _CloudEvent(msgspec.Struct):
    id: str
    time: Moment
    data: _Content
    operator: str = ""


def read(message: Message, rules: Rules) -> list[Envelope | Ignored]:
    """Raises PayloadError."""
    payload = read_object(message.body)
    kind = read_as(_Head, payload).type
    if kind == DEFAULT_PUSH:
        found = read_as(_Default, payload)
        return _all(found.event_data, found.operator, datetime.fromtimestamp(found.occur_at, UTC), "", rules)
    if kind == CLOUDEVENTS_PUSH:
        event = read_as(_CloudEvent, payload)
        return _all(event.data, event.operator, event.time, event.id, rules)
    return [Ignored(Reason.OTHER_EVENT, "Only “Artifact pushed” is taken; choose it alone in the webhook's form.")]


def _all(content: _Content, operator: str, moment: datetime, delivery: str, rules: Rules) -> list[Envelope | Ignored]:
    name = content.repository.repo_full_name
    return [_one(row, name, operator, moment, delivery, rules) for row in content.resources]


def _one(row: _Resource, name: str, operator: str, moment: datetime, delivery: str, rules: Rules) -> Envelope | Ignored:
    """`resource_url` is host/repository:tag, without a scheme."""
    if not row.tag:
        return Ignored(Reason.UNTAGGED, "An artifact without a tag has no version.")
    host = row.resource_url.partition("//")[2] if "://" in row.resource_url else row.resource_url
    host = host.partition("/")[0]
    release = image_release(
        host=host,
        repository=name,
        tag=row.tag,
        artifact=Artifact(f"{name}:{row.tag}", manifest_url(host, name, row.digest), row.digest),
        released_by=operator,
        released_at=moment,
        delivery=delivery,
    )
    return event_of(release, rules)
