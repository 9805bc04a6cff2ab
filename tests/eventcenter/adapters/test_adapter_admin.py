from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from eventcenter.adapters import counts
from eventcenter.adapters.intake import rules_of
from eventcenter.adapters.message import Rules
from eventcenter.adapters.services import live_secrets
from eventcenter.models import Adapter, AdapterKind
from subscriptions.models import Tenant
from tests.factories import AdapterFactory, SuperuserFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


def url(page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:eventcenter_adapter_{page}", args=args)


def form(tenant: Tenant | None = None, **values: Any) -> dict[str, Any]:
    given = {"name": "Plugins", "active": "on", "repositories": "", "named_plugins": "", "media_types": ""}
    whose = {"tenant": tenant.pk, "kind": "github"} if tenant else {}
    return given | whose | {"tag_prefix": "", "asset_pattern": ""} | values


def shown(response: Any) -> list[str]:
    """Messages, and the values of the page that shows secrets once."""
    return [*map(str, response.context["messages"]), *(item.value for item in response.context.get("shown", ()))]


def errors(response: Any) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)


def test_secret_is_shown_once_when_an_adapter_is_made(ops: Client) -> None:
    tenant = TenantFactory(slug="acme")

    response = ops.post(url("add"), form(tenant), follow=True)

    adapter = Adapter.objects.get()
    (secret,) = live_secrets(adapter, timezone.now())
    assert any(secret in message for message in shown(response))
    assert secret not in ops.get(url("change", adapter.pk)).content.decode()
    entry = AuditEntry.objects.get(action="adapter.created")
    assert (entry.chain, entry.actor, entry.target) == ("acme", "user:eva", f"adapter:{adapter.pk}")
    assert secret not in str(entry.details)


def test_rules_are_what_the_form_says(ops: Client) -> None:
    values = {
        "repositories": "acme/*\n\n  globex/tools \n",
        "named_plugins": "acme/Payments = payments-gateway\nacme/a=b",
        "media_types": "application/vnd.acme.plugin.v1+json",
        "tag_prefix": "plugin/",
        "asset_pattern": "*.tgz",
        "prereleases": "on",
    }

    ops.post(url("add"), form(TenantFactory(slug="acme"), kind="oci", **values))

    assert rules_of(Adapter.objects.get()) == Rules(
        tenant="acme",
        repositories=("acme/*", "globex/tools"),
        plugin_ids={"acme/Payments": "payments-gateway", "acme/a": "b"},
        tag_prefix="plugin/",
        asset_pattern="*.tgz",
        media_types=("application/vnd.acme.plugin.v1+json",),
        prereleases=True,
    )
    shown_again = ops.get(url("change", Adapter.objects.get().pk)).content.decode()
    assert "acme/Payments = payments-gateway" in shown_again


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("named_plugins", "acme/a = b\nacme/x", "Line 2"),
        ("named_plugins", "acme/a = Not An Id", "Line 1"),
        ("named_plugins", "= b", "Line 1"),
        ("repositories", "x\n" * 201, "200 lines"),
        ("repositories", "x" * 301, "300 characters"),
        ("kind", "bitbucket", "bitbucket"),
    ],
)
def test_field_says_what_it_takes_when_it_is_wrong(ops: Client, field: str, value: str, says: str) -> None:
    response = ops.post(url("add"), form(TenantFactory()) | {field: value})

    assert list(errors(response)) == [field]
    assert says in str(errors(response)[field])
    assert Adapter.objects.count() == 0


def test_entry_names_what_was_changed_when_a_form_is_saved(ops: Client) -> None:
    adapter = AdapterFactory()

    ops.post(url("change", adapter.pk), form(prereleases="on", repositories="acme/*"))

    entry = AuditEntry.objects.get(action="adapter.changed")
    assert entry.details["prereleases"] == [False, True]
    assert {"prereleases", "repositories"} <= set(entry.details["fields"])
    assert "named_plugins" not in entry.details["fields"]


def test_nothing_is_written_down_when_nothing_was_changed(ops: Client) -> None:
    adapter = AdapterFactory(plugin_ids={"a/b": "c"}, repositories=["a/*"])

    ops.post(url("change", adapter.pk), form(name=adapter.name, named_plugins="a/b = c", repositories="a/*"))

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("kind", list(AdapterKind))
def test_page_has_the_url_and_the_counts_when_an_adapter_is_looked_at(ops: Client, kind: AdapterKind) -> None:
    adapter = AdapterFactory(kind=kind)
    counts.add_refused(adapter, "stale")

    page = ops.get(url("change", adapter.pk)).content.decode()

    assert f"http://testserver/internal/events/adapters/{adapter.public_id}" in page
    assert re.search(r"Refused</td><td>stale</td><td>1<", page)


def test_page_says_what_will_be_counted_when_nothing_came(ops: Client) -> None:
    assert "Nothing came" in ops.get(url("change", AdapterFactory().pk)).content.decode()


def test_tenant_and_forge_stay_when_a_form_would_change_them(ops: Client) -> None:
    adapter = AdapterFactory()

    ops.post(url("change", adapter.pk), form(TenantFactory(), kind="oci"))

    stored = Adapter.objects.get(pk=adapter.pk)
    assert (stored.tenant_id, stored.kind) == (adapter.tenant_id, "github")


def test_chosen_adapters_are_paused_resumed_and_rotated(ops: Client) -> None:
    adapter = AdapterFactory()
    (old,) = live_secrets(adapter, timezone.now())

    def run(action: str) -> list[str]:
        return shown(ops.post(url(), {"action": action, "_selected_action": adapter.pk}, follow=True))

    assert any("1 paused" in message for message in run("pause_selected"))
    assert any("1 resumed" in message for message in run("resume_selected"))
    told = run("rotate_selected")

    adapter.refresh_from_db()
    new, kept = live_secrets(adapter, timezone.now())
    assert kept == old
    assert any(new in message for message in told)
    actions = AuditEntry.objects.order_by("position").values_list("action", flat=True)
    assert list(actions) == ["adapter.paused", "adapter.resumed", "adapter.secret_rotated"]


def test_tenants_admin_has_its_own_adapters_alone(client: Client) -> None:
    """An operator sees them and changes nothing."""
    ours, theirs = AdapterFactory(name="Our forge"), AdapterFactory(name="Their forge")
    client.force_login(UserFactory(roles=((ours.tenant, Role.TENANT_ADMIN),), is_staff=False))

    page = client.get(url()).content.decode()
    assert "Our forge" in page
    assert "Their forge" not in page
    assert client.get(url("change", theirs.pk)).status_code == 302
    client.post(url("change", ours.pk), form(name="Renamed"))
    client.post(url(), {"action": "pause_selected", "_selected_action": theirs.pk})
    client.force_login(UserFactory(roles=((ours.tenant, Role.OPERATOR),), is_staff=False))
    assert client.post(url("change", ours.pk), form(name="Again")).status_code == 403

    assert list(Adapter.objects.order_by("pk").values_list("name", "active")) == [
        ("Renamed", True),
        ("Their forge", True),
    ]


def test_list_asks_as_often_when_there_are_more(ops: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    AdapterFactory()
    ops.get(url())
    with django_assert_num_queries(7) as one:
        ops.get(url())
    AdapterFactory.create_batch(4)
    with django_assert_num_queries(len(one.captured_queries)):
        ops.get(url())
