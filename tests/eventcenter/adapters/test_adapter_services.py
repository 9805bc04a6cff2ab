from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import Actor
from eventcenter.adapters import counts
from eventcenter.adapters.counts import KEPT, Line
from eventcenter.adapters.message import Ignored, Reason
from eventcenter.adapters.services import create_adapter, live_secrets, pause, resume, rotate_secret
from eventcenter.ids import new_id
from eventcenter.models import Adapter, AdapterCount, AdapterKind
from eventcenter.partitions import maintain
from eventcenter.publishing import Receipt
from eventcenter.standardwebhooks import decode_secret
from tests.factories import AdapterFactory, TenantFactory

pytestmark = pytest.mark.django_db

ACTOR = Actor("user:eva", "192.0.2.7")


def entries() -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.order_by("position")
    return [(row.chain, row.actor, row.action, row.target) for row in rows]


def test_adapter_has_a_url_nobody_guesses_and_a_secret_when_it_is_made() -> None:
    adapter, secret = create_adapter(TenantFactory(slug="acme").pk, AdapterKind.GITLAB, "Plugins", ACTOR)

    stored = Adapter.objects.get()
    assert re.fullmatch(r"ad_[0-9a-f]{32}", stored.public_id)
    assert len(decode_secret(secret)) == 32
    assert list(live_secrets(stored, timezone.now())) == [secret]
    assert entries() == [("acme", "user:eva", "adapter.created", f"adapter:{adapter.pk}")]
    assert secret not in str(AuditEntry.objects.get().details)


def test_secrets_overlap_for_a_day_when_one_is_rotated() -> None:
    adapter, old = create_adapter(TenantFactory().pk, AdapterKind.OCI, "Registry", ACTOR)
    url = adapter.public_id

    new = rotate_secret(adapter, ACTOR)

    adapter.refresh_from_db()
    now = timezone.now()
    assert adapter.public_id == url
    assert list(live_secrets(adapter, now)) == [new, old]
    assert list(live_secrets(adapter, now + timedelta(hours=24))) == [new]
    entry = AuditEntry.objects.get(action="adapter.secret_rotated")
    assert entry.details == {"overlap_h": 24}


def test_state_changes_once_when_it_is_asked_for_twice() -> None:
    adapter = AdapterFactory()

    assert [pause(adapter, ACTOR), pause(adapter, ACTOR), adapter.active] == [True, False, False]
    assert [resume(adapter, ACTOR), resume(adapter, ACTOR), adapter.active] == [True, False, True]
    assert [action for _, _, action, _ in entries()] == ["adapter.paused", "adapter.resumed"]


def test_counts_are_summed_over_a_day_when_they_are_read() -> None:
    adapter, now = AdapterFactory(), timezone.now()
    receipts = [Receipt(new_id(), duplicate) for duplicate in (False, False, True)]
    counts.add_taken(adapter, receipts, [Ignored(Reason.PING, "Fine.")])
    counts.add_refused(adapter, "wrong")
    counts.add_refused(adapter, "wrong")
    counts.add_taken(AdapterFactory(), receipts, [])
    AdapterCount.objects.create(
        tenant=adapter.tenant,
        adapter=adapter,
        minute=now - timedelta(hours=25),
        outcome="refused",
        reason="old",
        count=9,
    )

    assert counts.lines(adapter, now) == [
        Line("Published", "", 2),
        Line("Known already", "", 1),
        Line("Ignored", "ping", 1),
        Line("Refused", "wrong", 2),
    ]


def test_old_counts_go_when_the_house_is_kept() -> None:
    adapter, now = AdapterFactory(), timezone.now()
    for age in (KEPT - timedelta(days=1), KEPT + timedelta(days=1)):
        AdapterCount.objects.create(
            tenant=adapter.tenant, adapter=adapter, minute=now - age, outcome="accepted", count=1
        )

    assert maintain(now).counts_deleted == 1
    assert AdapterCount.objects.count() == 1
