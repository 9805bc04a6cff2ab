from __future__ import annotations

from itertools import product

import pytest
from django.db import IntegrityError, transaction

from delivery.models import Delivery
from delivery.states import LEGAL_MOVES, OPEN_STATUSES, DeliveryStatus, sources_of
from tests.factories import DeliveryFactory

ENDS = [status for status in DeliveryStatus if status not in OPEN_STATUSES]


def test_every_status_has_its_moves_and_a_tone() -> None:
    assert set(LEGAL_MOVES) == set(DeliveryStatus)
    assert all(status.tone for status in DeliveryStatus)


def test_sources_are_the_moves_read_backwards() -> None:
    for source, target in product(DeliveryStatus, DeliveryStatus):
        assert (source.value in sources_of(target)) == (target in LEGAL_MOVES[source])


@pytest.mark.parametrize("end", ENDS)
def test_only_a_replay_leads_out_of_an_end(end: DeliveryStatus) -> None:
    assert LEGAL_MOVES[end] == {DeliveryStatus.PENDING}


def test_no_attempt_leads_back_to_pending() -> None:
    assert DeliveryStatus.PENDING not in LEGAL_MOVES[DeliveryStatus.RETRYING]


@pytest.mark.django_db
@pytest.mark.parametrize(("source", "target"), [*product(DeliveryStatus, DeliveryStatus)])
def test_delivery_moves_when_the_move_is_legal(source: DeliveryStatus, target: DeliveryStatus) -> None:
    delivery = DeliveryFactory(status=source)
    legal = target in LEGAL_MOVES[source]
    assert delivery.move(target, held_reason="moved") is legal
    delivery.refresh_from_db()
    assert (delivery.state, delivery.held_reason) == ((target, "moved") if legal else (source, ""))


@pytest.mark.django_db
def test_one_wins_when_two_move_a_delivery_they_read_as_open() -> None:
    delivery = DeliveryFactory()
    same = Delivery.objects.get(pk=delivery.pk)
    assert delivery.move(DeliveryStatus.CANCELLED)
    assert not same.move(DeliveryStatus.DEAD)
    assert Delivery.objects.get().state is DeliveryStatus.CANCELLED


@pytest.mark.django_db
def test_database_refuses_a_status_that_is_not_in_the_table() -> None:
    delivery = DeliveryFactory()
    with pytest.raises(IntegrityError, match="delivery_status_known"), transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).update(status="held")
    assert Delivery.objects.get().state is DeliveryStatus.PENDING
