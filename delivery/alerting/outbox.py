"""Pages that wait: claimed, then sent outside of any transaction, then recorded.

A claim moves `next_at` past the longest send. A process that dies in between leaves the page to the next one, which sends it
again: under the same dedup_key that is the same incident to PagerDuty, and the same Message-ID to a mail program.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from delivery.alerting import contacts
from delivery.alerting.calling import Answer, Call, Result
from delivery.models import Page, PageAction

logger = logging.getLogger(__name__)
ops = logging.getLogger("ops")

LEASE: Final = timedelta(seconds=60)  # well above the timeouts of both channels together
CANDIDATES: Final = 100
BEFORE: Final[Mapping[PageAction, tuple[PageAction, ...]]] = {
    PageAction.TRIGGER: (),
    PageAction.ACKNOWLEDGE: (PageAction.TRIGGER,),
    PageAction.RESOLVE: (PageAction.TRIGGER, PageAction.ACKNOWLEDGE),
}


def claim(now: datetime, busy: Collection[int] = ()) -> list[Call]:
    """At most one page for each contact that is not `busy`, and of an incident none before what comes before it: a resolve
    waits while its trigger is neither sent nor given up. Index: page_due. Others skip what is locked."""
    with transaction.atomic():
        rows = _due(now).exclude(contact_id__in=list(busy)).select_related("contact__tenant").order_by("pk")
        first: dict[int, Page] = {}
        for page in rows.select_for_update(skip_locked=True, of=("self",))[:CANDIDATES]:
            first.setdefault(page.contact_id, page)
        pks = [page.pk for page in first.values()]
        Page.objects.filter(pk__in=pks).update(tries=F("tries") + 1, next_at=now + LEASE)
    return [_call(page) for page in first.values()]


def record(call: Call, answer: Answer, now: datetime, again_at: datetime) -> None:
    """A page that somebody else claimed meanwhile and sent is left as it is."""
    waiting = Page.objects.filter(pk=call.page_id, sent_at=None, next_at__isnull=False)
    ids = {"page": str(call.page_id), "contact": call.contact_id, "action": call.action.value}
    match answer.result:
        case Result.SENT:
            waiting.update(sent_at=now, next_at=None, error="")
            logger.info("page.sent", extra=ids)
        case Result.REFUSED:
            waiting.update(next_at=None, error=answer.words)
            ops.error("page.refused", extra=ids | {"answer": answer.words})
        case Result.LATER:
            waiting.update(next_at=again_at, error=answer.words)
            logger.warning("page.delayed", extra=ids | {"answer": answer.words})


def dedup_key(incident_id: UUID) -> str:
    """The same for all that is said of an incident."""
    return f"event-center-{incident_id}"


def _due(now: datetime) -> QuerySet[Page]:
    turn = Q()
    for action, before in BEFORE.items():
        waiting = Page.objects.filter(
            incident_id=OuterRef("incident_id"),
            contact_id=OuterRef("contact_id"),
            next_at__isnull=False,
            action__in=before,
        )
        turn |= Q(~Exists(waiting), action=action) if before else Q(action=action)
    return Page.objects.filter(turn, next_at__lte=now)


def _call(page: Page) -> Call:
    return Call(
        page_id=page.pk,
        contact_id=page.contact_id,
        channel=page.contact.channel,
        action=PageAction(page.action),
        dedup_key=dedup_key(page.incident_id),
        body=page.body,
        address=page.contact.address,
        routing_key=contacts.routing_key_of(page.contact),
    )
