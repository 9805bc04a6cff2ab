"""Several people at once, each with a connection of their own: one wins, and what was asked for is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest
from django.db import connection
from django.utils import timezone

from delivery.approvals import service
from delivery.models import Approval, ApprovalKind, Delivery, Dispatch
from tests.delivery.approvals.desk import actions, approver, asked, escalated, operator

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queues")]
WHY = "The receiver is back."
REPLAY = ApprovalKind.DELIVERY_REPLAY
ROUNDS = 8
T = TypeVar("T")


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each gives, begun in the same moment."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        try:
            barrier.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(30) for future in [pool.submit(run, work) for work in works]]


def test_one_wins_and_it_is_done_once_when_four_approve_at_once() -> None:
    for _ in range(ROUNDS):
        delivery = escalated()
        approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
        people = [approver(delivery.tenant) for _ in range(4)]
        decided = at_once([partial(service.approve, approval.pk, who, WHY) for who in people])
        assert sorted(map(bool, decided)) == [False, False, False, True]
        assert all("approved by user:" in row.refusal for row in decided if not row)
        assert Delivery.objects.get(pk=delivery.pk).replays == 1
    assert actions().count("delivery.replayed") == actions().count("approval.approved") == ROUNDS
    assert Dispatch.objects.count() == ROUNDS


def test_one_wins_when_one_approves_and_one_rejects() -> None:
    for _ in range(ROUNDS):
        delivery = escalated()
        approval = asked(REPLAY, delivery.pk, operator(delivery.tenant))
        yes, no = approver(delivery.tenant), approver(delivery.tenant)
        decided = at_once(
            [partial(service.approve, approval.pk, yes, WHY), partial(service.reject, approval.pk, no, WHY)]
        )
        approval.refresh_from_db()
        assert [bool(row) for row in decided] == [approval.state == "approved", approval.state == "rejected"]
        assert Delivery.objects.get(pk=delivery.pk).replays == (1 if decided[0] else 0)


def test_it_is_done_or_expired_and_never_both_when_time_runs_out() -> None:
    for _ in range(ROUNDS):
        delivery, now = escalated(), timezone.now()
        approval = asked(REPLAY, delivery.pk, operator(delivery.tenant), now=now)
        who, late = approver(delivery.tenant), now + timedelta(days=2)
        works: list[Callable[[], object]] = [
            partial(service.approve, approval.pk, who, WHY, now),
            partial(service.expire, late),
        ]
        approved, expired = map(bool, at_once(works))
        approval.refresh_from_db()
        assert approval.state == ("approved" if approved else "expired")
        assert approved or expired
        assert Delivery.objects.get(pk=delivery.pk).replays == (1 if approved else 0)
    names = actions()
    assert names.count("approval.approved") + names.count("approval.expired") == ROUNDS


def test_one_waits_when_two_ask_at_once() -> None:
    for _ in range(ROUNDS):
        delivery = escalated()
        people = [operator(delivery.tenant), operator(delivery.tenant)]
        found = at_once([partial(service.ask, REPLAY, str(delivery.pk), who, WHY) for who in people])
        assert found[0].approval == found[1].approval
        assert sorted(row.is_new for row in found) == [False, True]
    assert Approval.objects.count() == actions().count("approval.requested") == ROUNDS
