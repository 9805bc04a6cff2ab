"""GitLab's release webhook: docs.gitlab.com/user/project/integrations/webhook_events/#release-events. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from eventcenter.adapters.message import Ignored, Message, Number, PayloadError, Reason, Rules, read_as, read_object
from eventcenter.adapters.release import Artifact, Release, event_of, host_of, stated_digest
from eventcenter.envelope import Envelope, FieldProblem

# The first is the same for every webhook that one event triggers; the second for every try of one webhook.
DELIVERIES = ("X-Gitlab-Event-UUID", "Idempotency-Key")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? ?(UTC|Z|[+-]\d\d:?\d\d)")


class _Attributes(msgspec.Struct):
    action: str = ""


class _Head(msgspec.Struct):
    """The page names `object_attributes.action`; its example has `action` at the top, and that is what is sent."""

    object_kind: str = ""
    action: str = ""
    object_attributes: _Attributes | None = None


class _Link(msgspec.Struct):
    url: str
    name: str = ""


class _Assets(msgspec.Struct):
    links: list[_Link] = []


class _Author(msgspec.Struct):
    name: str = ""


class _Commit(msgspec.Struct):
    id: str = ""
    author: _Author | None = None


class _Project(msgspec.Struct):
    id: Number
    path_with_namespace: str
    web_url: str


class _Payload(msgspec.Struct):
    id: Number
    tag: str
    released_at: str
    project: _Project
    url: str = ""
    description: str | None = None
    assets: _Assets | None = None
    commit: _Commit | None = None


def read(message: Message, rules: Rules) -> list[Envelope | Ignored]:
    """Raises PayloadError."""
    payload = read_object(message.body)
    head = read_as(_Head, payload)
    if head.object_kind != "release":
        return [Ignored(Reason.OTHER_EVENT, "Only release events are taken; choose them alone in the webhook's form.")]
    action = head.action or (head.object_attributes.action if head.object_attributes else "")
    if action != "create":
        return [Ignored(Reason.OTHER_ACTION, "Only the action create is taken.")]
    release = _release(read_as(_Payload, payload), message)
    if release.released_at > message.now:
        return [Ignored(Reason.UPCOMING, "The release's date is ahead: GitLab calls it upcoming.")]
    return [event_of(release, rules)]


def _release(payload: _Payload, message: Message) -> Release:
    project, commit = payload.project, payload.commit or _Commit()
    links = payload.assets.links if payload.assets else []
    text = payload.description or ""
    return Release(
        kind="gitlab",
        source=project.web_url,
        repository=project.path_with_namespace,
        id=f"release/{payload.id}",
        key=(host_of(project.web_url), str(project.id), str(payload.id)),
        tag=payload.tag,
        artifacts=[Artifact(row.name, row.url, stated_digest(row.name, row.url, text)) for row in links],
        released_by=commit.author.name if commit.author else "",
        released_at=moment_of(payload.released_at),
        changelog_url=payload.url,
        commit=commit.id,
        delivery=next(filter(None, (message.headers.get(name, "") for name in DELIVERIES)), ""),
    )


def moment_of(text: str) -> datetime:
    """GitLab writes "2020-11-02 12:55:12 UTC"; RFC 3339 is taken too. Raises PayloadError."""
    match = _TIME.fullmatch(text)
    if match:
        zone = "+00:00" if match[3] in ("UTC", "Z") else match[3]
        try:
            return datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PayloadError(FieldProblem("released_at", 'must be a time such as "2020-11-02 12:55:12 UTC"'))
