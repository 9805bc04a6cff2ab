"""Refused publishes are counted: whose they are and why, in a bounded number of rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from eventcenter import refusals
from eventcenter.adapters.message import Proof
from eventcenter.models import EventType, OutboxMessage, PublishKey, PublishRefusalCounter
from eventcenter.refusals import NO_TENANT, RefusalReason
from eventcenter.standardwebhooks import SignatureFault
from eventcenter.worker import process_shard
from tests.eventcenter.adapters.forge import new_forge
from tests.eventcenter.sender import URL, Sender, event, refused

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def counted() -> dict[tuple[int, str], int]:
    found: Counter[tuple[int, str]] = Counter()
    for row in PublishRefusalCounter.objects.all():
        found[row.tenant_id, row.reason] += row.count
    return dict(found)


@pytest.mark.django_db
def test_each_refusal_is_counted_for_its_tenant_and_reason_when_the_proof_is_bad(sender: Sender) -> None:
    tenant = PublishKey.objects.get(key_id=sender.key_id).tenant_id
    body = b"{}"
    signed = sender.sign(body)
    for headers in (
        signed | {"webhook-signature": "v1,bm90IGl0"},
        signed | {"webhook-timestamp": "noon"},
        sender.sign(body, at=timezone.now().timestamp() - 400),
        sender.sign(body, at=timezone.now().timestamp() + 400),
        {name: value for name, value in signed.items() if name != "webhook-signature"},
        signed | {"x-publish-key": "pk_nobody"},
        signed | {"x-publish-key": "pk_somebody_else"},
        {},
    ):
        refused(sender.post(body, signing=headers), 401, "unauthorized")
    assert counted() == {
        (tenant, "wrong"): 2,
        (tenant, "stale"): 2,
        (tenant, "missing"): 1,
        (NO_TENANT, "unknown_key"): 2,
        (NO_TENANT, "missing"): 1,
    }
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db
def test_nothing_is_counted_when_a_publish_is_accepted_or_wrong_otherwise(sender: Sender) -> None:
    assert sender.structured(event()).status_code == 202
    assert sender.structured(event(type=...)).status_code == 400
    assert counted() == {}


@pytest.mark.django_db
def test_a_flood_stays_a_row_a_minute_when_keys_are_made_up(sender: Sender) -> None:
    for number in range(30):
        sender.post(b"{}", signing={"x-publish-key": f"pk_{number}"})
    minutes = PublishRefusalCounter.objects.values_list("minute", flat=True)
    assert len(minutes) == len(set(minutes)) <= 2
    assert counted() == {(NO_TENANT, "unknown_key"): 30}


@pytest.mark.django_db(transaction=True)
def test_count_stays_when_the_request_ended_in_a_refusal(client: Client) -> None:
    assert not django_settings.DATABASES["default"].get("ATOMIC_REQUESTS")
    assert client.post(URL, b"{}", "application/json").status_code == 401
    connection.close()  # what was not committed is gone
    row = PublishRefusalCounter.objects.get()
    assert (row.tenant_id, row.reason, row.shard, row.count) == (NO_TENANT, "missing", process_shard(), 1)


@pytest.mark.django_db
def test_refusal_is_counted_for_the_adapters_tenant_when_a_forges_proof_is_bad(event_types: list[EventType]) -> None:
    github = new_forge()
    github.post(b"{}", proof={"X-Hub-Signature-256": "sha256=00"})
    github.post(b"{}", proof={})
    tenant = github.adapter.tenant_id
    assert counted() == {(tenant, "wrong"): 1, (tenant, "missing"): 1}


def test_every_fault_has_a_reason() -> None:
    assert set(refusals.BY_FAULT) == set(SignatureFault)
    assert set(refusals.BY_PROOF) == set(Proof) - {Proof.GOOD}


@pytest.mark.django_db
def test_old_minutes_become_days_when_they_are_folded_and_no_sum_changes() -> None:
    for minutes, shard, count in ((0, 1, 1), (1, 1, 2), (1, 2, 4), (24 * 60, 1, 8), (48 * 60, 1, 16)):
        PublishRefusalCounter.objects.create(
            minute=NOON + timedelta(minutes=minutes),
            tenant_id=7,
            reason=RefusalReason.WRONG,
            shard=shard,
            count=count,
        )
    before = counted()
    assert refusals.fold_days(NOON + timedelta(minutes=1)) == 1
    assert refusals.fold_days(NOON + timedelta(days=2)) == 3
    assert refusals.fold_days(NOON + timedelta(days=2)) == 0
    rows = PublishRefusalCounter.objects.order_by("minute").values_list("minute", "shard", "count")
    midnight = NOON.replace(hour=0)
    assert list(rows) == [(midnight, -1, 7), (midnight + timedelta(days=1), -1, 8), (NOON + timedelta(days=2), 1, 16)]
    assert counted() == before
