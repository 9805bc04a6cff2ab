from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.models import Delivery, Dispatch
from delivery.order.pass_over import pass_over
from delivery.states import DeliveryStatus
from eventcenter.ids import new_id
from tests.delivery.order.lines import die, end, in_line, ordered_subscription, parked, plan, reopen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]

ALICE = Actor("user:alice", "192.0.2.1")


@pytest.fixture
def line() -> list[Delivery]:
    """Two of one key, the first of them dead."""
    made = plan(ordered_subscription(), "a", "a", "a")
    die(made[0])
    return made


def test_next_one_is_dispatched_when_a_dead_head_is_passed_over(
    line: list[Delivery],
    hints_in: Callable[[str], list[list[int]]],
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    first, second, third = line

    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        assert pass_over(first.pk, ALICE)

    assert parked() == {third.pk}
    assert in_line() == [second.pk, third.pk]
    dispatch = Dispatch.objects.get()
    assert dispatch.delivery_ids == [second.pk]
    assert hints_in("retry") == [[dispatch.pk, 0]]
    first.refresh_from_db()
    assert first.state == DeliveryStatus.DEAD


def test_trail_says_who_passed_over_what(line: list[Delivery]) -> None:
    pass_over(line[0].pk, ALICE)

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == ("delivery.passed_over", f"delivery:{line[0].pk}")
    assert (entry.actor, entry.address, entry.chain) == (ALICE.name, ALICE.address, line[0].tenant.slug)
    assert entry.details["next"] == [str(line[1].pk)]


def test_replay_goes_beside_the_others_when_it_was_passed_over(line: list[Delivery]) -> None:
    first, second, third = line
    pass_over(first.pk, ALICE)

    assert reopen(first) == set()
    assert end(second) == [third.pk]


def test_it_is_refused_when_the_head_is_open_again(line: list[Delivery]) -> None:
    reopen(line[0])

    refused = pass_over(line[0].pk, ALICE)

    assert "not dead" in refused.refusal
    assert in_line() == [row.pk for row in line]
    assert not Dispatch.objects.exists()
    assert not AuditEntry.objects.exists()


def test_it_is_refused_when_it_was_passed_over_before(line: list[Delivery]) -> None:
    pass_over(line[0].pk, ALICE)

    assert not pass_over(line[0].pk, ALICE)

    assert AuditEntry.objects.count() == Dispatch.objects.count() == 1


def test_it_is_refused_when_there_is_no_such_delivery() -> None:
    assert not pass_over(new_id(), ALICE)
