from __future__ import annotations

import pytest

from delivery.chaos.load import Load, Publisher
from delivery.chaos.missing import explain_doubled, explain_lost
from tests.factories import DeliveryFactory


@pytest.mark.django_db
def test_what_is_missing_is_named_when_deliveries_did_not_arrive() -> None:
    delivery = DeliveryFactory()
    load = Load([Publisher("acme", "pk_1", b"k" * 32)], 1, 10.0)
    load.ids, load.accepted = ["never-ingested", "never-accepted"], bytearray([1, 0])

    told = explain_lost(load)

    assert "never ingested: 1 ['never-ingested']" in told
    assert "1 deliveries: pending" in told
    assert str(delivery.id) in told
    assert "0 deliveries" not in explain_doubled([str(delivery.id)])
