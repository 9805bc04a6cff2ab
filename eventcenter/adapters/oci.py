"""Registry notifications of CNCF Distribution: distribution.github.io/distribution/about/notifications. Pure.

That page asks receivers not to be picky, since a registry sends an envelope until it is taken: an event of it that is
not as documented is ignored by itself, and the others count.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from eventcenter.adapters.message import Ignored, Message, Moment, PayloadError, Reason, Rules, read_as, read_object
from eventcenter.adapters.release import Artifact, Release, event_of, host_of
from eventcenter.envelope import Envelope

# What a tag can name (OCI image specification, and Docker's two older forms). Blobs have other types.
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MAX_EVENTS = 1_000  # the publish API's own bound; a registry that waited for us sends envelopes of tens


class _Envelope(msgspec.Struct):
    events: Annotated[list[object], msgspec.Meta(max_length=MAX_EVENTS)]


class _Action(msgspec.Struct):
    action: str


class _Target(msgspec.Struct):
    digest: str
    repository: str
    mediaType: str = ""
    url: str = ""
    tag: str = ""


class _Host(msgspec.Struct):
    host: str = ""


class _Name(msgspec.Struct):
    name: str = ""


class _Push(msgspec.Struct):
    id: str
    timestamp: Moment
    target: _Target
    request: _Host | None = None
    actor: _Name | None = None


def read(message: Message, rules: Rules) -> list[Envelope | Ignored]:
    """Raises PayloadError when there is no envelope."""
    events = read_as(_Envelope, read_object(message.body)).events
    return [_one(event, rules) for event in events]


def _one(event: object, rules: Rules) -> Envelope | Ignored:
    try:
        if read_as(_Action, event).action != "push":
            return Ignored(Reason.OTHER_ACTION, "Only pushes are taken.")
        push = read_as(_Push, event)
    except PayloadError as error:
        return Ignored(Reason.MALFORMED, f"An event is not as documented: {error}"[:500])
    if push.target.mediaType not in (rules.media_types or MANIFESTS):
        return Ignored(Reason.OTHER_MEDIA_TYPE, "The media type is not among those that the adapter takes.")
    if not push.target.tag:
        return Ignored(Reason.UNTAGGED, "A manifest without a tag has no version.")
    return event_of(_release(push), rules)


def _release(push: _Push) -> Release:
    target = push.target
    host = (push.request.host if push.request else "") or host_of(target.url)
    url = target.url or manifest_url(host, target.repository, target.digest)
    return image_release(
        host=host,
        repository=target.repository,
        tag=target.tag,
        artifact=Artifact(f"{target.repository}:{target.tag}", url, target.digest),
        released_by=push.actor.name if push.actor else "",
        released_at=push.timestamp,
        delivery=push.id,
    )


def manifest_url(host: str, repository: str, digest: str) -> str:
    """Where any registry gives a manifest out (OCI Distribution specification, "Pulling manifests")."""
    return f"https://{host}/v2/{repository}/manifests/{digest}"


def image_release(
    *,
    host: str,
    repository: str,
    tag: str,
    artifact: Artifact,
    released_by: str,
    released_at: datetime,
    delivery: str,
) -> Release:
    """One content under one tag is one release, however often and by which registry software it is told."""
    return Release(
        kind="oci",
        source=f"oci://{host}/{repository}",
        repository=repository,
        id=f"{tag}@{artifact.digest}",
        key=(host, repository, tag, artifact.digest),
        tag=tag,
        artifacts=[artifact],
        released_by=released_by,
        released_at=released_at,
        delivery=delivery,
    )
