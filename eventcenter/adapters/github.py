"""GitHub's `release` webhook: docs.github.com/en/webhooks/webhook-events-and-payloads#release. Pure."""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from eventcenter.adapters.message import (
    Ignored,
    Message,
    Moment,
    Number,
    PayloadError,
    Reason,
    Rules,
    read_as,
    read_object,
)
from eventcenter.adapters.release import Artifact, Release, event_of, host_of, stated_digest
from eventcenter.envelope import Envelope, FieldProblem

EVENT = "X-GitHub-Event"
DELIVERY = "X-GitHub-Delivery"
FORM = "application/x-www-form-urlencoded"
# One publishing sends several of these; they have one key. `released` also tells of a pre-release that became the release.
ACTIONS = frozenset({"published", "released", "prereleased"})
# Files that belong to another file.
COMPANIONS = (".asc", ".sig", ".pem", ".crt", ".md5", ".sha256", ".sha256sum", ".sha512", ".sigstore", ".sbom")


class _Draft(msgspec.Struct):
    draft: bool = False


class _Head(msgspec.Struct):
    action: str
    release: _Draft | None = None


class _Asset(msgspec.Struct):
    name: str
    browser_download_url: str
    state: str = "uploaded"
    digest: str | None = None


class _Author(msgspec.Struct):
    login: str = ""


class _Release(msgspec.Struct):
    id: Number
    tag_name: str
    published_at: Moment
    html_url: str = ""
    prerelease: bool = False
    target_commitish: str = ""
    body: str | None = None
    author: _Author | None = None
    assets: list[_Asset] = []


class _Repository(msgspec.Struct):
    id: Number
    full_name: str
    html_url: str


class _Payload(msgspec.Struct):
    release: _Release
    repository: _Repository


def read(message: Message, rules: Rules) -> list[Envelope | Ignored]:
    """Raises PayloadError."""
    event = message.headers.get(EVENT, "")
    if not event:
        raise PayloadError(FieldProblem(EVENT, "is required: the event's name, such as release"))
    if event == "ping":
        return [Ignored(Reason.PING, "The webhook reaches its adapter.")]
    if event != "release":
        return [Ignored(Reason.OTHER_EVENT, "Only the event release is taken; choose it alone in the webhook's form.")]
    payload = _object(message)
    head = read_as(_Head, payload)
    if head.release and head.release.draft:
        return [Ignored(Reason.DRAFT, "A draft is not published yet.")]
    if head.action not in ACTIONS:
        return [Ignored(Reason.OTHER_ACTION, f"Only these actions are taken: {', '.join(sorted(ACTIONS))}.")]
    return [event_of(_release(read_as(_Payload, payload), message), rules)]


def _object(message: Message) -> dict[str, object]:
    """GitHub sends JSON, or a form whose field `payload` holds it, as the webhook's content type says."""
    if message.media_type != FORM:
        return read_object(message.body)
    try:
        fields = parse_qs(message.body.decode(), max_num_fields=10)
    except ValueError:
        fields = {}
    return read_object(fields.get("payload", [""])[0].encode("utf-8", "replace"), "payload")


def _release(payload: _Payload, message: Message) -> Release:
    release, repository = payload.release, payload.repository
    return Release(
        kind="github",
        source=repository.html_url,
        repository=repository.full_name,
        id=f"release/{release.id}",
        key=(host_of(repository.html_url), str(repository.id), str(release.id)),
        tag=release.tag_name,
        artifacts=_artifacts(release),
        released_by=release.author.login if release.author else "",
        released_at=release.published_at,
        prerelease=release.prerelease,
        changelog_url=release.html_url,
        commit=release.target_commitish,
        delivery=message.headers.get(DELIVERY, ""),
    )


def _artifacts(release: _Release) -> list[Artifact]:
    """GitHub states each asset's digest since June 2025 (github.blog/changelog, "Releases now expose digests")."""
    whole = [row for row in release.assets if row.state == "uploaded" and not row.name.endswith(COMPANIONS)]
    return [
        Artifact(
            row.name,
            row.browser_download_url,
            row.digest or stated_digest(row.name, row.browser_download_url, release.body or ""),
        )
        for row in whole
    ]
