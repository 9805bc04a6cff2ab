"""Pages that wait: claimed, then sent outside of any transaction, then recorded.

A claim moves `next_at` past the longest send. A process that dies in between leaves the page to the next one, which sends it
again: under the same dedup_key that is the same incident to PagerDuty, and the same Message-ID to a mail program.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from delivery.alerting import contacts
from delivery.alerting.calling import Answer, Call, Result
from delivery.models import AlertContact, ContactChannel, Page, PageAction

logger = logging.getLogger(__name__)
ops = logging.getLogger("ops")

# Well above START_WITHIN_S and the longest send: PagerDuty's few timeouts of 5 s;
# a mail's dozen round trips of EMAIL_TIMEOUT each.
LEASE: Final = timedelta(seconds=60)
LEASES: Final = {ContactChannel.PAGERDUTY.value: LEASE, ContactChannel.EMAIL.value: timedelta(seconds=240)}
THREADS: Final = 4  # for each channel
ALL_FREE: Final = dict.fromkeys(LEASES, THREADS)
CANDIDATES: Final = 100
SWITCHED_OFF: Final = "The contact was switched off."
NOT_TOLD: Final = "The contact was not called about it."
BEFORE: Final[Mapping[PageAction, tuple[PageAction, ...]]] = {
    PageAction.ACKNOWLEDGE: (PageAction.TRIGGER,),
    PageAction.RESOLVE: (PageAction.TRIGGER, PageAction.ACKNOWLEDGE),
}


def claim(now: datetime, busy: Collection[int] = (), free: Mapping[str, int] = ALL_FREE) -> list[Call]:
    """At most one page for each contact that is not `busy`, for each channel as many as it has threads `free`, and of an
    incident none before what comes before it: a resolve waits while its trigger is neither sent nor given up. Index:
    page_due. Others skip what is locked."""
    with transaction.atomic():
        _give_up(now)
        channels = [channel for channel, count in free.items() if count > 0]
        rows = _due(now).filter(contact__channel__in=channels).exclude(contact_id__in=list(busy))
        locked = rows.select_related("contact__tenant").select_for_update(skip_locked=True, of=("self",))
        taken = _first(locked.order_by("pk")[:CANDIDATES], free)
        for channel in channels:
            pks = [page.pk for page in taken if page.contact.channel == channel]
            Page.objects.filter(pk__in=pks).update(tries=F("tries") + 1, next_at=now + LEASES[channel])
    return [_call(page) for page in taken]


def call_again(contact: AlertContact, now: datetime) -> int:
    """Of each open incident the last trigger, if it was given up and the contact may be called: its key, its address or its
    switch was set right. Returns how many."""
    if not contact.enabled:
        return 0
    triggers = Page.objects.filter(contact=contact, action=PageAction.TRIGGER, incident__resolved_at=None)
    later = triggers.filter(incident_id=OuterRef("incident_id"), pk__gt=OuterRef("pk"))
    given_up = triggers.filter(~Exists(later), sent_at=None, next_at=None)
    return given_up.update(next_at=now)


def record(call: Call, answer: Answer, now: datetime, again_at: datetime) -> None:
    """A page that somebody else claimed meanwhile is left as it is: theirs is the answer that counts."""
    waiting = Page.objects.filter(pk=call.page_id, tries=call.claimed, sent_at=None, next_at__isnull=False)
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


def _first(pages: Iterable[Page], free: Mapping[str, int]) -> list[Page]:
    """The first of each contact, as many as there are threads."""
    first: dict[int, Page] = {}
    left = dict(free)
    for page in pages:
        if page.contact_id not in first and left[page.contact.channel] > 0:
            first[page.contact_id] = page
            left[page.contact.channel] -= 1
    return list(first.values())


def _give_up(now: datetime) -> None:
    """Nobody is called who was switched off, or told more of what was not said."""
    due = Page.objects.filter(next_at__lte=now)
    triggers = Page.objects.filter(
        incident_id=OuterRef("incident_id"), contact_id=OuterRef("contact_id"), action=PageAction.TRIGGER
    )
    live = triggers.exclude(sent_at=None, next_at=None)
    for rows, words in (
        (due.filter(action=PageAction.TRIGGER, contact__enabled=False), SWITCHED_OFF),
        (due.filter(~Exists(live)).exclude(action=PageAction.TRIGGER), NOT_TOLD),
    ):
        pks = list(rows.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
        if pks:
            Page.objects.filter(pk__in=pks).update(next_at=None, error=words)
            logger.warning("page.given_up", extra={"count": len(pks), "why": words})


def _due(now: datetime) -> QuerySet[Page]:
    older = Page.objects.filter(
        incident_id=OuterRef("incident_id"),
        contact_id=OuterRef("contact_id"),
        action=PageAction.TRIGGER,
        next_at__isnull=False,
        pk__lt=OuterRef("pk"),
    )
    turn = Q(~Exists(older), action=PageAction.TRIGGER)
    for action, before in BEFORE.items():
        waiting = Page.objects.filter(
            incident_id=OuterRef("incident_id"),
            contact_id=OuterRef("contact_id"),
            next_at__isnull=False,
            action__in=before,
        )
        turn |= Q(~Exists(waiting), action=action)
    return Page.objects.filter(turn, next_at__lte=now)


def _call(page: Page) -> Call:
    return Call(
        page_id=page.pk,
        contact_id=page.contact_id,
        channel=page.contact.channel,
        action=PageAction(page.action),
        dedup_key=dedup_key(page.incident_id),
        body=page.body,
        claimed=page.tries + 1,
        address=page.contact.address,
        routing_key=contacts.routing_key_of(page.contact),
    )
