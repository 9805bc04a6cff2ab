from __future__ import annotations

import pytest

from audit.models import AuditEntry
from delivery.models import Delivery, ReplayJob
from tests.api_caller import fields, with_key
from tests.factories import DeliveryFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queues")]


def test_open_delivery_is_cancelled_once_and_answered_alike_when_asked_again() -> None:
    delivery = DeliveryFactory(retrying=True)
    caller = with_key(delivery.tenant, "operate")
    first, again = (caller.post(f"deliveries/{delivery.pk}/cancel") for _ in range(2))
    assert (first.status_code, again.status_code, first.json()["status"]) == (200, 200, "cancelled")
    assert first.json() == again.json()
    assert first.json()["cancelled_at"]
    assert AuditEntry.objects.filter(action="delivery.cancelled").count() == 1


def test_cancel_is_refused_when_it_ended_otherwise_or_one_may_not_operate() -> None:
    delivery, other = DeliveryFactory(delivered=True), DeliveryFactory()
    assert with_key(delivery.tenant, "operate").post(f"deliveries/{delivery.pk}/cancel").status_code == 409
    assert with_key(other.tenant, "view", "replay").post(f"deliveries/{other.pk}/cancel").status_code == 403
    assert with_key(delivery.tenant, "operate").post(f"deliveries/{other.pk}/cancel").status_code == 404
    assert Delivery.objects.get(pk=other.pk).status == "pending"
    assert not AuditEntry.objects.exists()


def test_bulk_cancel_takes_open_states_and_the_permission_to_operate() -> None:
    delivery = DeliveryFactory(retrying=True)
    operate, replay = with_key(delivery.tenant, "operate"), with_key(delivery.tenant, "replay")
    body = {"action": "cancel", "codes": ["5xx"], "dry_run": True}
    made = operate.post("replays", body)
    assert (made.status_code, made.json()["action"], made.json()["total"]) == (201, "cancel", 1), made.content
    assert made.json()["rate_per_s"] == 1_000
    assert "status" in fields(operate.post("replays", body | {"status": ["dead"]}), 400)
    assert replay.post("replays", body).status_code == 403
    assert operate.post("replays", {"codes": ["5xx"]}).status_code == 403
    assert replay.post(f"replays/{made.json()['id']}/start").status_code == 403
    assert operate.post(f"replays/{made.json()['id']}/start").json()["state"] == "running"
    assert ReplayJob.objects.count() == 1
