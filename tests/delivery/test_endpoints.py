from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import transaction

from audit.models import AuditEntry
from delivery.endpoints import GONE_REASON, disable_gone
from subscriptions.models import Endpoint, EndpointState
from tests.factories import EndpointFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("state", [EndpointState.ENABLED, EndpointState.PAUSED])
def test_endpoint_is_disabled_with_an_audit_entry_when_it_is_gone(state: EndpointState) -> None:
    endpoint, other = EndpointFactory(state=state), EndpointFactory()
    delivery_id = uuid4()
    assert disable_gone(endpoint.pk, delivery_id)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.state_reason) == (EndpointState.DISABLED, GONE_REASON)
    entry = AuditEntry.objects.get()
    assert (entry.chain, entry.actor) == (endpoint.tenant.slug, "system:worker")
    assert entry.details == {"reason": GONE_REASON, "delivery": str(delivery_id)}
    assert Endpoint.objects.get(pk=other.pk).state == EndpointState.ENABLED


def test_nothing_happens_when_an_admin_disabled_it_before() -> None:
    endpoint = EndpointFactory(state=EndpointState.DISABLED, state_reason="moved away")
    assert not disable_gone(endpoint.pk, uuid4())
    endpoint.refresh_from_db()
    assert endpoint.state_reason == "moved away"
    assert not AuditEntry.objects.exists()


def test_nothing_happens_when_it_was_deleted() -> None:
    assert not disable_gone(2**40, uuid4())
    assert not AuditEntry.objects.exists()


def test_entry_and_state_go_together_when_the_transaction_fails() -> None:
    endpoint = EndpointFactory()
    with transaction.atomic():
        assert disable_gone(endpoint.pk, uuid4())
        transaction.set_rollback(True)
    assert Endpoint.objects.get().state == EndpointState.ENABLED
    assert not AuditEntry.objects.exists()
