"""What a forge sent, what its adapter's owner wants of it, and what can become of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec

from eventcenter.envelope import FieldProblem, shown_name

T = TypeVar("T")
# What forges number things with, and their times: with a zone, or they are no moment.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

JSON_BODY = "must be a JSON object in UTF-8"
_AT = re.compile(r" - at `(?:\$|key in \$)(.*)`$")


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a forge. `headers` finds names in any case; `media_type` is in lower case, without parameters."""

    headers: Mapping[str, str]
    body: bytes
    media_type: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Rules:
    """Which releases count, and for what. Patterns are shell patterns (`*`, `?`, `[…]`); an empty one takes everything."""

    tenant: str
    repositories: tuple[str, ...] = ()
    plugin_ids: Mapping[str, str] = field(default_factory=dict)
    tag_prefix: str = ""
    asset_pattern: str = ""
    media_types: tuple[str, ...] = ()
    prereleases: bool = False


class Reason(StrEnum):
    """Why nothing was published. The guide's table of reasons says it to people, and is held against this list."""

    FLAG_OFF = "flag_off"
    PAUSED = "paused"
    PING = "ping"
    OTHER_EVENT = "other_event"
    OTHER_ACTION = "other_action"
    DRAFT = "draft"
    PRERELEASE = "prerelease"
    UPCOMING = "upcoming"
    OTHER_REPOSITORY = "other_repository"
    OTHER_TAG = "other_tag"
    UNTAGGED = "untagged"
    NOT_A_VERSION = "not_a_version"
    OTHER_MEDIA_TYPE = "other_media_type"
    NO_PLUGIN_ID = "no_plugin_id"
    NO_ARTIFACT = "no_artifact"
    UNFIT = "unfit"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Understood, and not to be published. `detail` says it to whoever looks at the forge's log of deliveries."""

    reason: Reason
    detail: str


class Proof(StrEnum):
    """How a message proves that it comes from who holds the secret. All but GOOD are refused."""

    GOOD = "good"
    MISSING = "missing"  # the header that would prove it is not there
    WRONG = "wrong"
    STALE = "stale"  # signed more than five minutes ago, or ahead of our clock


class PayloadError(ValueError):
    """The body is not what the forge documents. `problems` names the places and what they take, never a value."""

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read_object(text: bytes, where: str = "body") -> dict[str, object]:
    """Raises PayloadError."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PayloadError(FieldProblem(where, JSON_BODY))
    return found


def read_as(type_: type[T], payload: object) -> T:
    """The documented part of a payload; other members are passed over. Raises PayloadError for the first wrong one."""
    try:
        return msgspec.convert(payload, type_)
    except msgspec.ValidationError as error:
        raise PayloadError(_problem_of(str(error))) from None


def _problem_of(message: str) -> FieldProblem:
    """msgspec says "Expected `str`, got `int` - at `$.release.tag_name`", or names a missing member in the text."""
    at = _AT.search(message)
    path = at[1].lstrip(".") if at else ""
    says = message[: at.start()] if at else message
    missing = re.match(r"Object missing required field `(.*)`", says)
    if missing:
        return FieldProblem(shown_name(".".join(filter(None, (path, missing[1])))), "is required")
    return FieldProblem(shown_name(path) or "body", says[:1].lower() + says[1:])
