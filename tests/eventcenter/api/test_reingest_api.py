from __future__ import annotations

import pytest

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from eventcenter.envelope import to_kafka
from eventcenter.kept_messages import headers_as_json
from eventcenter.models import OutboxMessage, RejectedEvent
from subscriptions.models import Tenant
from tests.api_caller import signed_in, with_key
from tests.delivery.bus_messages import release
from tests.factories import RejectedEventFactory, TenantFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types")]


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def mended(acme: Tenant) -> RejectedEvent:
    """A message that would be taken now."""
    headers, value = to_kafka(release("acme"))
    return RejectedEventFactory(
        tenant_slug="acme", reason="unknown_type", headers=headers_as_json(headers), value=value
    )


def test_event_is_sent_on_once_when_a_key_may_operate(acme: Tenant, mended: RejectedEvent) -> None:
    program = with_key(acme, "view", "operate")
    path = f"rejected-events/{mended.pk}"
    first, second = (program.post(f"{path}/reingest") for _ in range(2))
    assert first.status_code == second.status_code == 200, first.content
    kept = OutboxMessage.objects.get()
    assert first.json() == second.json() == {"event": str(kept.pk), "duplicate": False}
    shown = program.get(path).json()
    actor = AuditEntry.objects.get(action="rejected_event.reingested").actor
    assert (shown["reingested_as"], shown["reingested_by"]) == (str(kept.pk), actor)
    assert program.get("rejected-events?waiting=true").json()["items"] == []
    assert [item["id"] for item in program.get("rejected-events?waiting=false").json()["items"]] == [str(mended.pk)]


def test_reason_is_told_when_it_would_still_be_rejected(acme: Tenant) -> None:
    row = RejectedEventFactory(tenant_slug="acme", value=b"not json")
    answer = with_key(acme, "operate").post(f"rejected-events/{row.pk}/reingest")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("It would still be rejected: ")
    assert not OutboxMessage.objects.exists()


def test_it_is_refused_when_one_may_only_look_and_unknown_to_others(acme: Tenant, mended: RejectedEvent) -> None:
    path = f"rejected-events/{mended.pk}/reingest"
    assert signed_in((acme, Role.VIEWER)).post(path).status_code == 403
    assert signed_in((TenantFactory(), Role.OPERATOR)).post(path).status_code == 404
    assert not OutboxMessage.objects.exists()


def test_message_of_no_known_tenant_takes_the_platforms_operator(acme: Tenant) -> None:
    row = RejectedEventFactory(tenant_slug="nobody")
    path = f"rejected-events/{row.pk}/reingest"
    assert signed_in((acme, Role.OPERATOR)).post(path).status_code == 404
    assert signed_in((None, Role.VIEWER)).post(path).status_code == 403
    assert signed_in((None, Role.OPERATOR)).post(path).status_code == 409
