"""A signing key as the reminders see it, whichever table it stands in, and what is said of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from delivery.models import AlertSeverity
from eventcenter.envelope import Envelope, timestamp_text
from eventcenter.key_age import OVERDUE, KeyAge

DUE_TYPE = "signing_key.rotation_due"
SOURCE = "/event-center/signing-keys"


class KeyKind(StrEnum):
    ENDPOINT = "endpoint"  # we sign with it, the endpoint's receiver verifies
    PUBLISH_KEY = "publish_key"  # a publisher signs with it, we verify


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`pk`: of the row that has the secret. `owner_pk`: of the endpoint or publish key, for links. `name`: its slug or key
    id. `reminded`: the step of the last reminder, None before the first."""

    kind: KeyKind
    pk: int
    owner_pk: int
    tenant_id: int
    tenant: str
    name: str
    age: KeyAge
    reminded: int | None = None

    @property
    def target(self) -> str:
        """As the audit trail names it."""
        return f"endpoint:{self.owner_pk}" if self.kind is KeyKind.ENDPOINT else f"publish_key:{self.name}"

    @property
    def label(self) -> str:
        return f"{self.tenant}/{self.name}"

    @property
    def dedup_key(self) -> str:
        """Of the alert; another secret of the same endpoint or key has another."""
        return f"{DUE_TYPE}:{self.kind}:{self.pk}:{int(self.age.created_at.timestamp())}"

    def summary(self, now: datetime) -> str:
        what = "The signing secret" if self.kind is KeyKind.ENDPOINT else "The secret of publish key"
        of = f" of {self.label}" if self.kind is KeyKind.ENDPOINT else f" {self.label}"
        return f"{what}{of} is {self.age.words(now)}: rotate it."


def severity(step: int) -> AlertSeverity:
    """A month before it is a note; on the last day and after it, it is urgent."""
    if step <= 1:
        return AlertSeverity.CRITICAL
    return AlertSeverity.WARNING if step <= 7 else AlertSeverity.INFO


def details(key: SigningKey, step: int, now: datetime) -> dict[str, object]:
    return {
        "kind": key.kind.value,
        "name": key.name,
        "created_at": timestamp_text(key.age.created_at),
        "due_at": timestamp_text(key.age.due_at),
        "step_days": step,
        "days_left": (key.age.due_at - now) // timedelta(days=1),
        "overdue": step == OVERDUE,
    }


def due_event(key: SigningKey, step: int, now: datetime) -> Envelope:
    """The id is the same for one step of one secret and due date, however often it is made."""
    return Envelope(
        id=f"{key.kind}-{key.pk}-{key.age.due_at:%Y%m%dT%H%M%SZ}-{step}",
        source=SOURCE,
        type=DUE_TYPE,
        subject=key.name,
        time=now,
        tenant=key.tenant,
        data=orjson.dumps(details(key, step, now)),
    )
