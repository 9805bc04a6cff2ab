"""What PostgreSQL itself keeps apart, whatever the views ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import Error, ProgrammingError, connection, transaction
from django.db.models import Model
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from eventcenter import row_security
from eventcenter.access.middleware import TenantScope
from eventcenter.models import Event, PublishKey
from eventcenter.partitions import maintain
from subscriptions.models import Endpoint, EndpointSecret, Tenant
from tests.factories import DeliveryFactory, EndpointFactory, EndpointSecretFactory, PublishKeyFactory, TenantFactory

pytestmark = pytest.mark.django_db

# Tables of ours without a policy, and why none is needed.
OPEN_TABLES = {
    "eventcenter_eventtype": "the platform's: types are everybody's",
    "eventcenter_idempotencykey": "digests and ids alone",
    "eventcenter_consumeroffset": "the bus'",
    "eventcenter_ingestcounter": "sums over all tenants, for /metrics",
    "eventcenter_datakey": "the platform's: sealed keys, of use only with ENCRYPTION_KEYS",
    "eventcenter_heartbeat": "the platform's processes",
    "eventcenter_configrevision": "one number",
    "eventcenter_featureflag": "the platform's: which flags there are",
    "eventcenter_featureflag_groups": "waffle's; no tenant in it",
    "eventcenter_featureflag_users": "waffle's; no tenant in it",
    "delivery_dispatch": "ids alone, for workers",
    "subscriptions_signinidentity": "people's, of no tenant; read by the sign-in alone",
    "audit_streamcursor": "no right on it at all (eventcenter migration 0009)",
    "delivery_telemetrycursor": "no right on it at all (delivery migration 0009)",
}


@pytest.fixture(autouse=True)
def owner_again() -> Iterator[None]:
    yield
    row_security.leave()


def current_role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return str(cursor.fetchone()[0])


def our_models() -> list[type[Model]]:
    ours = ("audit", "eventcenter", "subscriptions", "delivery")
    return [model for model in apps.get_models(include_auto_created=True) if model._meta.app_label in ours]


def test_every_table_of_ours_has_a_policy_or_a_reason() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid "
            "WHERE c.relrowsecurity AND p.polname = %s",
            [row_security.POLICY],
        )
        protected = {row[0] for row in cursor.fetchall()}
    tables = {model._meta.db_table for model in our_models()}
    assert tables - protected == OPEN_TABLES.keys() & tables
    assert not [
        model
        for model in our_models()
        if model._meta.db_table in OPEN_TABLES and any(f.column == "tenant_id" for f in model._meta.fields)
    ]


def test_partitions_cannot_be_read_around_their_table() -> None:
    maintain()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r' "
            "AND has_table_privilege(%s, oid, 'SELECT')",
            [row_security.WEB_ROLE],
        )
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")
        assert cursor.fetchone()[0] > 8


def test_a_request_without_a_tenant_sees_nothing() -> None:
    DeliveryFactory()
    row_security.enter(row_security.NO_TENANTS)
    assert current_role() == row_security.WEB_ROLE
    for model in (Tenant, Endpoint, Event):
        assert not model.objects.exists()
    row_security.leave()
    assert current_role() != row_security.WEB_ROLE
    assert Event.objects.exists()


def test_a_tenants_request_sees_its_own_rows_of_every_table() -> None:
    ours, theirs = DeliveryFactory(), DeliveryFactory()
    EndpointSecretFactory(endpoint=ours.endpoint)
    EndpointSecretFactory(endpoint=theirs.endpoint)
    PublishKeyFactory(tenant=theirs.tenant)
    row_security.enter({ours.tenant_id})
    assert list(Tenant.objects.all()) == [ours.tenant]
    assert list(Endpoint.objects.all()) == [ours.endpoint]
    assert [secret.endpoint_id for secret in EndpointSecret.objects.all()] == [ours.endpoint_id]
    assert list(Event.objects.values_list("id", flat=True)) == [ours.event_id]
    assert not PublishKey.objects.exists()


def test_foreign_rows_can_be_neither_changed_nor_made() -> None:
    ours, theirs = EndpointFactory(), EndpointFactory()
    row_security.enter({ours.tenant_id})
    assert Endpoint.objects.filter(pk=theirs.pk).update(name="taken") == 0
    assert Endpoint.objects.filter(pk=theirs.pk).delete()[0] == 0
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        Endpoint.objects.create(tenant_id=theirs.tenant_id, slug="smuggled", url="https://example.com/")
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        Endpoint.objects.filter(pk=ours.pk).update(tenant_id=theirs.tenant_id)
    row_security.leave()
    theirs.refresh_from_db()
    assert theirs.name == ""
    assert not Endpoint.objects.filter(slug="smuggled").exists()


def test_unscoped_sees_all_and_gives_the_scope_back() -> None:
    ours, theirs = EndpointFactory(), EndpointFactory()
    row_security.enter({ours.tenant_id})
    with row_security.unscoped():
        assert Endpoint.objects.count() == 2
        with row_security.unscoped():
            assert theirs in Endpoint.objects.all()
        assert Endpoint.objects.count() == 2
    assert list(Endpoint.objects.all()) == [ours]


def test_scope_holds_when_a_transaction_fails_within_unscoped() -> None:
    ours = EndpointFactory()
    EndpointFactory()
    row_security.enter({ours.tenant_id})
    with pytest.raises(Error), transaction.atomic(), row_security.unscoped(), connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")
    assert list(Endpoint.objects.all()) == [ours]
    assert current_role() == row_security.WEB_ROLE


def test_narrowing_does_nothing_when_no_request_is_served() -> None:
    EndpointFactory()
    row_security.narrow(row_security.NO_TENANTS)
    assert Endpoint.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_connection_made_within_a_request_has_its_scope() -> None:
    ours = EndpointFactory()
    EndpointFactory()
    row_security.enter({ours.tenant_id})
    connection.close()
    assert list(Endpoint.objects.all()) == [ours]


def test_the_role_is_left_when_a_view_fails(rf: RequestFactory) -> None:
    seen: list[str] = []

    def broken(request: Any) -> Any:
        seen.append(current_role())
        raise RuntimeError("a view's bug")

    with pytest.raises(RuntimeError):
        TenantScope(broken)(rf.get("/"))
    assert seen == [row_security.WEB_ROLE]
    assert current_role() != row_security.WEB_ROLE


def test_a_streamed_answer_is_made_in_its_requests_scope(rf: RequestFactory) -> None:
    ours, theirs = TenantFactory(), TenantFactory()

    def view(request: Any) -> StreamingHttpResponse:
        row_security.narrow({ours.pk})
        return StreamingHttpResponse(slug for slug in Tenant.objects.values_list("slug", flat=True).iterator())

    response = TenantScope(view)(rf.get("/"))
    assert Tenant.objects.count() == 2
    assert isinstance(response, StreamingHttpResponse)
    body = response.getvalue().decode()
    assert body == ours.slug
    assert theirs.slug not in body
    assert Tenant.objects.count() == 2
