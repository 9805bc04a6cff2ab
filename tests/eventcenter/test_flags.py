from __future__ import annotations

import importlib
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from eventcenter import flags, migrations
from eventcenter.flags import AS_SHIPPED, Flag, is_on
from eventcenter.models import FeatureFlag
from tests.factories import SuperuserFactory, TenantFactory
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


def row(flag: Flag) -> FeatureFlag:
    return FeatureFlag.objects.get_or_create(name=flag)[0]


def set_to(flag: Flag, everyone: bool | None, *slugs: str) -> None:
    found = row(flag)
    found.everyone = everyone
    found.save()
    found.tenants.set(found.tenants.model.objects.filter(slug__in=slugs))
    flags.states.reload()


def test_flags_are_as_shipped_when_nobody_changed_them() -> None:
    assert {flag: is_on(flag, "acme") for flag in Flag} == AS_SHIPPED


def test_migration_makes_each_flag_as_shipped() -> None:
    FeatureFlag.objects.all().delete()
    (found,) = Path(migrations.__path__[0]).glob("*_flag_rows.py")
    importlib.import_module(f"eventcenter.migrations.{found.stem}").make(apps, None)

    flags.states.reload()

    assert set(FeatureFlag.objects.values_list("name", flat=True)) == set(Flag)
    assert {flag: is_on(flag, "acme") for flag in Flag} == AS_SHIPPED


def test_flag_is_as_shipped_when_its_row_is_missing() -> None:
    FeatureFlag.objects.all().delete()

    assert {flag: is_on(flag, "acme") for flag in Flag} == AS_SHIPPED


@pytest.mark.parametrize(
    ("everyone", "listed", "other"), [(None, True, False), (True, True, True), (False, False, False)]
)
def test_everyone_decides_when_it_is_set_and_the_list_when_not(
    everyone: bool | None, listed: bool, other: bool
) -> None:
    TenantFactory(slug="acme")
    set_to(Flag.AUDIT_STREAMING, everyone, "acme")

    assert is_on(Flag.AUDIT_STREAMING, "acme") is listed
    assert is_on(Flag.AUDIT_STREAMING, "globex") is other


def test_unknown_flag_is_an_error_when_asked_for() -> None:
    with pytest.raises(ValueError, match="event-bus-v3"):
        is_on("event-bus-v3", "acme")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE eventcenter_featureflag SET everyone = true WHERE name = 'audit-streaming'",
        "INSERT INTO eventcenter_featureflag_tenants (featureflag_id, tenant_id) "
        "SELECT f.id, t.id FROM eventcenter_featureflag f, subscriptions_tenant t WHERE f.name = 'audit-streaming'",
    ],
)
def test_change_is_followed_within_two_seconds_when_made_by_sql(statement: str) -> None:
    TenantFactory(slug="acme")
    set_to(Flag.AUDIT_STREAMING, None)
    assert not is_on(Flag.AUDIT_STREAMING, "acme")

    with connection.cursor() as cursor:
        cursor.execute(statement)

    assert eventually(lambda: is_on(Flag.AUDIT_STREAMING, "acme"), 2)


def test_many_questions_cost_no_query_when_nothing_changed(django_assert_num_queries: object) -> None:
    is_on(Flag.EVENT_BUS_V2, "acme")

    with django_assert_num_queries(0):  # type: ignore[operator]
        assert all(is_on(Flag.EVENT_BUS_V2, f"tenant-{number}") for number in range(1000))


def test_command_sets_the_tenants_and_audits_when_given_some() -> None:
    TenantFactory(slug="acme")
    TenantFactory(slug="globex")
    row(Flag.AUDIT_STREAMING)

    call_command("waffle_flag", "audit-streaming", "--tenant", "acme", stdout=StringIO())
    call_command("waffle_flag", "audit-streaming", "--tenant", "globex", "--append", stdout=StringIO())
    flags.states.reload()

    assert is_on(Flag.AUDIT_STREAMING, "acme")
    assert is_on(Flag.AUDIT_STREAMING, "globex")
    last = AuditEntry.objects.get(chain="platform", position=2)
    assert (last.actor, last.action, last.target) == (
        "system:waffle_flag",
        "feature_flag.changed",
        "feature_flag:audit-streaming",
    )
    assert last.details == {"tenants": [["acme"], ["acme", "globex"]], "fields": ["tenants"]}


def test_command_switches_for_everyone_when_told() -> None:
    row(Flag.EVENT_BUS_V2)

    call_command("waffle_flag", "event-bus-v2", "--deactivate", stdout=StringIO())
    flags.states.reload()

    assert not is_on(Flag.EVENT_BUS_V2, "acme")
    assert AuditEntry.objects.get().details["everyone"][1] is False


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["event-bus-v3", "--create"], "no flag event-bus-v3"),
        (["audit-streaming", "--tenant", "acme", "--tenant", "nobody"], "Tenant nobody does not exist"),
    ],
)
def test_command_changes_nothing_when_a_name_is_unknown(arguments: list[str], why: str) -> None:
    TenantFactory(slug="acme")
    row(Flag.AUDIT_STREAMING)

    with pytest.raises(CommandError, match=why):
        call_command("waffle_flag", *arguments, stdout=StringIO())

    assert set(FeatureFlag.objects.values_list("name", flat=True)) <= set(Flag)
    assert not row(Flag.AUDIT_STREAMING).tenants.exists()
    assert not AuditEntry.objects.exists()


def test_command_lists_the_tenants_when_asked() -> None:
    TenantFactory(slug="acme")
    set_to(Flag.AUDIT_STREAMING, None, "acme")
    out = StringIO()

    call_command("waffle_flag", "--list", stdout=out)

    assert "TENANTS: ['acme']" in out.getvalue()


def admin_client() -> Client:
    client = Client()
    client.force_login(SuperuserFactory())
    return client


def test_admin_page_changes_and_audits_when_saved() -> None:
    tenant = TenantFactory(slug="acme")
    set_to(Flag.AUDIT_STREAMING, None)
    page = reverse("admin:eventcenter_featureflag_change", args=[row(Flag.AUDIT_STREAMING).pk])

    answer = admin_client().post(page, {"everyone": "unknown", "tenants": [tenant.pk], "note": "pilot"})
    flags.states.reload()

    assert answer.status_code == 302
    assert is_on(Flag.AUDIT_STREAMING, "acme")
    entry = AuditEntry.objects.get()
    assert (entry.chain, entry.action, entry.target) == (
        "platform",
        "feature_flag.changed",
        "feature_flag:audit-streaming",
    )
    assert entry.details == {"tenants": [[], ["acme"]], "fields": ["note", "tenants"]}


def test_admin_lists_flags_in_a_fixed_number_of_queries(django_assert_max_num_queries: object) -> None:
    for number in range(5):
        TenantFactory(slug=f"t-{number}")
    for flag in Flag:
        set_to(flag, None, *(f"t-{number}" for number in range(5)))
    client = admin_client()

    with django_assert_max_num_queries(8):  # type: ignore[operator]
        page = client.get(reverse("admin:eventcenter_featureflag_changelist"))

    assert "t-0, t-1, t-2, t-3, t-4" in page.content.decode()


def test_no_flag_is_added_or_deleted_by_hand() -> None:
    client = admin_client()

    assert client.get(reverse("admin:eventcenter_featureflag_add")).status_code == 403
    assert (
        client.get(reverse("admin:eventcenter_featureflag_delete", args=[row(Flag.EVENT_BUS_V2).pk])).status_code == 403
    )
