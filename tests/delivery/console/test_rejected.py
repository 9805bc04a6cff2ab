"""Rejected messages in the console: the list, one message, and sending them on, one and many."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from delivery.console import reingest_batch
from eventcenter.access.roles import Role
from eventcenter.envelope import to_kafka
from eventcenter.kept_messages import headers_as_json
from eventcenter.models import OutboxMessage, RejectedEvent
from subscriptions.models import Tenant
from tests.delivery.bus_messages import release
from tests.factories import RejectedEventFactory, TenantFactory, UserFactory, event_id_at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types")]
URL = "/console/events/rejected"
ALL = "/console/events/rejected/reingest"
# session, user, roles; due keys, alerts; tenants; count, rows
PAGE_QUERIES = 8
DETAIL_QUERIES = 10


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory(username="eva"))
    return client


def operator_of(tenant: Tenant, role: Role = Role.OPERATOR) -> Client:
    client = Client()
    client.force_login(UserFactory(roles=((tenant, role),)))
    return client


def mended(tenant: str = "acme", **changes: Any) -> RejectedEvent:
    """A message that would be taken now."""
    headers, value = to_kafka(release(tenant, **changes))
    made: RejectedEvent = RejectedEventFactory(
        tenant_slug=tenant, reason="unknown_type", headers=headers_as_json(headers), value=value
    )
    return made


def shown(response: Any) -> list[str]:
    return re.findall(r'data-row="([0-9a-f-]+)"', response.content.decode())


def text_of(client: Client, name: str, row: RejectedEvent) -> str:
    answer = client.get(reverse(name, args=[row.pk]))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_list_is_filtered_by_reason_tenant_and_state(ops: Client, acme: Tenant, django_assert_num_queries: Any) -> None:
    now = timezone.now()  # ids of one millisecond have no order among them
    lost = RejectedEventFactory(
        tenant_slug="nobody", reason="unknown_tenant", id=event_id_at(now - timedelta(seconds=2))
    )
    own = RejectedEventFactory(tenant_slug="acme", id=event_id_at(now - timedelta(seconds=1)))
    done = mended()
    ops.post(reverse("rejected-reingest", args=[done.pk]))
    with django_assert_num_queries(PAGE_QUERIES):
        assert shown(ops.get(URL)) == [str(row.pk) for row in (done, own, lost)]
    assert shown(ops.get(f"{URL}?tenant=acme")) == [str(done.pk), str(own.pk)]
    assert shown(ops.get(f"{URL}?tenant=(none)")) == [str(lost.pk)]
    assert shown(ops.get(f"{URL}?reason=invalid")) == [str(own.pk)]
    assert shown(ops.get(f"{URL}?state=settled")) == [str(done.pk)]
    assert shown(ops.get(f"{URL}?state=waiting&since=2026-01-01")) == [str(own.pk), str(lost.pk)]
    assert len(shown(ops.get(f"{URL}?reason=nonsense&state=%00&since=x"))) == 3


def test_message_shows_each_wrong_field_and_its_bytes(ops: Client, django_assert_num_queries: Any) -> None:
    row = RejectedEventFactory(
        detail="data.version: is required; data.channel: must be one of stable, beta",
        headers=[["ce_id", "r-1"], ["x-none", None]],
        value=b"\xff\x00payload",
        key=b"acme|x",
    )
    with django_assert_num_queries(DETAIL_QUERIES):
        text = text_of(ops, "rejected-event", row)
    for words in (
        "<code>data.version</code>",
        "must be one of stable, beta",
        "ff 00 70 61",
        "r-1",
        "no value",
        "acme|x",
    ):
        assert words in text
    assert "It would still be rejected" in text
    assert ops.get(reverse("rejected-value", args=[row.pk])).content == b"\xff\x00payload"


def test_one_is_sent_on_once_when_it_is_pressed_twice(ops: Client, acme: Tenant) -> None:
    row = mended()
    url = reverse("rejected-reingest", args=[row.pk])
    assert "It would be accepted now" in text_of(ops, "rejected-event", row)
    assert "Re-ingest this message?" in ops.get(url).content.decode()
    assert not OutboxMessage.objects.exists()
    assert "Sent to the bus" in ops.post(url, follow=True).content.decode()
    kept = OutboxMessage.objects.get()
    assert "it was settled already" in ops.post(url, follow=True).content.decode()
    assert "settled already" in ops.get(url).content.decode()
    assert OutboxMessage.objects.get() == kept
    entry = AuditEntry.objects.get(action="rejected_event.reingested")
    assert (entry.actor, entry.chain, entry.details["event"]) == ("user:eva", "acme", str(kept.pk))
    assert str(kept.pk) in text_of(ops, "rejected-event", row)


def test_it_is_refused_with_the_reason_when_it_would_still_be_rejected(ops: Client, acme: Tenant) -> None:
    row = RejectedEventFactory(tenant_slug="acme", value=b"not json")
    url = reverse("rejected-reingest", args=[row.pk])
    assert "cannot be re-ingested now" in ops.get(url).content.decode()
    assert "Not sent: it would still be rejected" in ops.post(url, follow=True).content.decode()
    row.refresh_from_db()
    assert row.reingested_at is None


def test_viewer_of_a_tenant_sees_its_own_alone_and_no_button(acme: Tenant) -> None:
    own, other, lost = mended(), RejectedEventFactory(tenant_slug=TenantFactory(slug="rival").slug), mended("nobody")
    client = operator_of(acme, Role.VIEWER)
    answer = client.get(URL)
    assert shown(answer) == [str(own.pk)]
    assert "rival" not in answer.content.decode()
    assert ALL not in answer.content.decode()
    assert reverse("rejected-reingest", args=[own.pk]) not in text_of(client, "rejected-event", own)
    for name in ("rejected-event", "rejected-value"):
        assert {client.get(reverse(name, args=[row.pk])).status_code for row in (other, lost)} == {404}
    assert client.post(reverse("rejected-reingest", args=[own.pk])).status_code == 403
    assert client.post(ALL).status_code == 403
    assert not OutboxMessage.objects.exists()


def test_operator_of_a_tenant_sends_on_its_own_alone(acme: Tenant) -> None:
    TenantFactory(slug="rival")
    own, other, lost = mended(), mended("rival"), RejectedEventFactory(tenant_slug="nobody")
    client = operator_of(acme)
    assert {client.post(reverse("rejected-reingest", args=[row.pk])).status_code for row in (other, lost)} == {404}
    client.post(ALL, {"before": str(lost.pk)})
    assert list(RejectedEvent.objects.settled()) == [own]


def test_many_are_counted_and_then_sent_on_oldest_first(ops: Client, acme: Tenant) -> None:
    rows = [mended(id="r-1"), mended(id="r-2"), RejectedEventFactory(tenant_slug="acme", value=b"{")]
    rows.append(mended(id="r-1"))
    later = mended(id="r-3")
    RejectedEvent.objects.filter(pk=later.pk).update(reason="invalid")
    asked = " ".join(ops.get(f"{ALL}?reason=unknown_type").content.decode().split())
    assert "Re-ingest 3 messages?" in asked
    assert f'name="before" value="{rows[3].pk}"' in asked
    told = ops.post(f"{ALL}?reason=unknown_type", {"before": str(rows[3].pk)}, follow=True)
    assert told.redirect_chain == [(f"{URL}?reason=unknown_type", 302)]
    assert "2 sent to the bus; 1 were known already." in told.content.decode()
    assert set(RejectedEvent.objects.settled()) == {rows[0], rows[1], rows[3]}
    assert OutboxMessage.objects.count() == 2
    assert AuditEntry.objects.filter(action="rejected_event.reingested").count() == 3


def test_only_what_was_confirmed_is_sent_on_when_more_came_meanwhile(ops: Client, acme: Tenant) -> None:
    first, second = mended(id="r-1"), mended(id="r-2")
    told = ops.post(ALL, {"before": str(first.pk)})
    assert list(RejectedEvent.objects.settled()) == [first]
    assert told["Location"] == f"{ALL}?after={first.pk}"
    assert "Re-ingest 1 message?" in " ".join(ops.get(told["Location"]).content.decode().split())
    assert second in RejectedEvent.objects.waiting()


def test_one_request_takes_a_bounded_number_and_leads_on(
    ops: Client, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [RejectedEventFactory(tenant_slug="acme", value=b"{") for _ in range(3)]
    monkeypatch.setattr(reingest_batch, "BATCH_MOST", 2)
    asked = " ".join(ops.get(ALL).content.decode().split())
    assert "None of these can be re-ingested now" in asked
    assert f"after={rows[1].pk}" in asked
    assert "Still rejected</dt><dd>1" in " ".join(ops.get(f"{ALL}?after={rows[1].pk}").content.decode().split())


def test_nobody_sends_on_without_the_token(acme: Tenant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory())
    assert client.post(reverse("rejected-reingest", args=[mended().pk])).status_code == 403
    assert not OutboxMessage.objects.exists()
