"""The export: all of the filter, within the reader's tenants, a bounded number of queries a look, and on the record."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEntry
from delivery.bench.seed import PREFIX, Volume, seed
from delivery.console import export
from delivery.models import Delivery
from eventcenter.access.roles import Role
from tests.factories import DeliveryFactory, EventFactory, SubscriptionFactory, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db
URL = "/console/deliveries/export"


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


def body(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_csv_has_a_line_of_names_and_all_that_fit(ops: Client) -> None:
    row = DeliveryFactory(dead=True)
    DeliveryFactory(delivered=True)
    response = ops.get(URL, {"format": "csv", "status": "dead"})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="deliveries-')
    lines = list(csv.DictReader(io.StringIO(body(response))))
    assert [line["delivery_id"] for line in lines] == [str(row.pk)]
    assert lines[0]["last_status_code"] == "503"
    assert lines[0]["subject"] == row.event.subject
    assert lines[0]["endpoint"] == row.endpoint.slug


def test_json_is_one_object_a_line(ops: Client) -> None:
    rows = [DeliveryFactory(accepted_at=timezone.now() - timedelta(seconds=age_s)) for age_s in (1, 2)]
    response = ops.get(URL, {"format": "json"})
    found = [json.loads(line) for line in body(response).splitlines()]
    assert [item["delivery_id"] for item in found] == [str(row.pk) for row in rows]
    assert found[0]["tags"] == ["stable"]
    assert found[0]["finished_at"] is None


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_cell_is_no_formula(text: str) -> None:
    assert export.cell(text) == f"'{text}"
    assert export.cell(-1) == -1
    assert export.cell("a=1") == "a=1"


def test_subject_that_is_a_formula_is_text_in_the_file(ops: Client) -> None:
    subscription = SubscriptionFactory()
    event = EventFactory(tenant=subscription.tenant, subject='=HYPERLINK("https://x.example")')
    DeliveryFactory(subscription=subscription, event=event)
    assert "'=HYPERLINK" in body(ops.get(URL, {"format": "csv"}))


def test_several_thousand_rows_come_in_looks_of_a_fixed_size(client: Client) -> None:
    seed(Volume(6_000, tenants=2, days=2, end=timezone.now()), lambda line: None)
    client.force_login(SuperuserFactory())
    response = client.get(URL, {"format": "json", "tenant": f"{PREFIX}000"})
    with CaptureQueriesContext(connection) as asked:
        pieces = [piece.count(b"\n") for piece in response.streaming_content]  # type: ignore[attr-defined]
    assert sum(pieces) == 3_000
    assert max(pieces) == export.LINES_A_PIECE
    assert len(asked) <= 2 * (3_000 // export.ROWS_A_LOOK + 1)


def test_stream_keeps_to_the_readers_tenants(client: Client) -> None:
    own, other = DeliveryFactory(), DeliveryFactory()
    client.force_login(UserFactory(roles=[(own.tenant, Role.VIEWER)]))
    text = body(client.get(URL, {"format": "json"}))
    assert str(own.pk) in text
    assert str(other.pk) not in text
    refused = client.get(URL, {"format": "json", "tenant": other.tenant.slug})
    assert refused.status_code == 400
    assert "There is no tenant" in refused.content.decode()


@pytest.mark.parametrize("scope", ["tenant", "all"])
def test_export_is_on_the_record_with_its_filter(ops: Client, scope: str) -> None:
    row = DeliveryFactory(dead=True)
    query = {"format": "csv", "status": "dead"} | ({"tenant": row.tenant.slug} if scope == "tenant" else {})
    body(ops.get(URL, query))
    entry = AuditEntry.objects.get(action="deliveries.exported")
    assert entry.chain == (row.tenant.slug if scope == "tenant" else "platform")
    assert entry.details["format"] == "csv"
    assert entry.details["filter"]["status"] == ["dead"]


@pytest.mark.parametrize("query", ["", "format=xml", "format=csv&code=abc", "format=csv&since=%00"])
def test_nothing_is_exported_when_the_url_holds_nonsense(ops: Client, query: str) -> None:
    response = ops.get(f"{URL}?{query}")
    assert response.status_code == 400
    assert "No export was made" in response.content.decode()
    assert not AuditEntry.objects.filter(action="deliveries.exported").exists()


def test_what_comes_later_is_not_part_of_it(ops: Client) -> None:
    DeliveryFactory(accepted_at=timezone.now() - timedelta(seconds=5))
    DeliveryFactory(accepted_at=timezone.now() + timedelta(seconds=60))
    assert len(body(ops.get(URL, {"format": "json"})).splitlines()) == 1
    assert Delivery.objects.count() == 2
