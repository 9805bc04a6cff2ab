"""What a delivery's page shows: its event, and one timeline of what happened to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import orjson

from delivery.models import Attempt, Delivery

EXCERPT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """A receiver's answer, readable. `cut`: the body goes on beyond the excerpt."""

    headers: list[tuple[str, str]]
    body: str
    size: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One point of the timeline. `kind` picks the template's words: accepted, ingested, attempt, replayed, next."""

    at: datetime
    kind: str
    attempt: Attempt | None = None
    answer: Answer | None = None


def timeline(delivery: Delivery, attempts: list[Attempt]) -> list[Step]:
    """Oldest first. Of several replays the last one's moment is known; the others show as marks on their attempts."""
    steps = [Step(delivery.planned_at, "accepted"), Step(delivery.event.ingested_at, "ingested")]
    steps += [Step(attempt.started_at, "attempt", attempt, _answer(attempt)) for attempt in attempts]
    if delivery.replays:
        steps.append(Step(delivery.round_at, "replayed"))
    return sorted(steps, key=lambda step: step.at)


def _answer(attempt: Attempt) -> Answer | None:
    body = bytes(attempt.response_body)
    headers = [(str(name), str(value)) for name, value in attempt.response_headers]
    if not body and not headers:
        return None
    text = body[:EXCERPT_BYTES].decode("utf-8", "replace")
    return Answer(headers, text, len(body), len(body) > EXCERPT_BYTES)


def pretty_event(body: bytes) -> str:
    """The event as indented JSON; what is no JSON stands as it is."""
    try:
        return json.dumps(orjson.loads(body), indent=2, ensure_ascii=False)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
