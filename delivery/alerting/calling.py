"""What a page says to whom, and what came of it. Pure; each channel has one function from the one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from delivery.models import PageAction

MAX_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One page, ready to be sent. `dedup_key` is the incident's: trigger, acknowledge and resolve of it meet under it, and so
    does a page that is sent a second time. `body`: see delivery.alerting.pages.body_of; "again" is true of a trigger that
    follows another, at a higher severity. `claimed`: the number of the claim, by which its answer is recorded."""

    page_id: UUID
    contact_id: int
    channel: str
    action: PageAction
    dedup_key: str
    body: Mapping[str, object]
    claimed: int = 0
    address: str = ""
    routing_key: str = field(default="", repr=False)

    def text(self, name: str) -> str:
        return str(self.body.get(name) or "")

    @property
    def details(self) -> dict[str, object]:
        found = self.body.get("details")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def links(self) -> list[dict[str, str]]:
        found = self.body.get("links")
        return [dict(link) for link in found] if isinstance(found, list) else []


class Result(StrEnum):
    SENT = "sent"
    LATER = "later"  # it may pass: an outage, a limit, a setting of ours
    REFUSED = "refused"  # this page will never be taken


@dataclass(frozen=True, slots=True)
class Answer:
    """`words`: what came of it, for people; never a key. `retry_after_s`: what the service asked for, with LATER."""

    result: Result
    words: str
    retry_after_s: float | None = None

    @classmethod
    def later(cls, words: str, retry_after_s: float | None = None) -> Answer:
        return cls(Result.LATER, words[:MAX_ERROR_CHARS], retry_after_s)

    @classmethod
    def refused(cls, words: str) -> Answer:
        return cls(Result.REFUSED, words[:MAX_ERROR_CHARS])
