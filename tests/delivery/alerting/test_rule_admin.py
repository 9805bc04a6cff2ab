from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from delivery.models import AlertRule
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, Tenant
from tests.delivery.alerting.scene import rule
from tests.factories import EndpointFactory, SuperuserFactory, TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST, ADD = reverse("admin:delivery_alertrule_changelist"), reverse("admin:delivery_alertrule_add")
EMPTY = dict.fromkeys(
    ["tenant", "endpoint", "threshold", "clear_below", "window", "minimum_count", "hold_for", "clear_for", "severity"],
    "",
)
EMPTY |= {"enabled": "on", "muted_until_0": "", "muted_until_1": "", "mute_reason": ""}


@pytest.fixture
def acme(db: None) -> Tenant:
    made: Tenant = TenantFactory(slug="acme")
    return made


@pytest.fixture
def endpoint(acme: Tenant) -> Endpoint:
    made: Endpoint = EndpointFactory(tenant=acme, slug="ci-cd")
    return made


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="root"))
    return client


@pytest.fixture
def eva(acme: Tenant) -> Client:
    """An admin of acme alone."""
    client = Client()
    client.force_login(UserFactory(username="eva", roles=[(acme, Role.TENANT_ADMIN)]))
    return client


def add(client: Client, **values: Any) -> Any:
    return client.post(ADD, EMPTY | values)


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def page_of(row: AlertRule, page: str = "change") -> str:
    return reverse(f"admin:delivery_alertrule_{page}", args=[row.pk])


def test_rule_is_made_with_the_defaults_of_its_kind(root: Client) -> None:
    assert add(root, kind="failure_rate", threshold="8 %").status_code == 302
    made = AlertRule.objects.get()
    assert (made.threshold, made.clear_below, made.window_s, made.minimum_count) == (0.08, 0.04, 300, 20)
    assert (made.severity, made.enabled, made.managed, made.tenant) == ("critical", True, False, None)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.chain, entry.actor, entry.action) == ("platform", "user:root", "alert_rule.created")
    assert entry.details["threshold"] == [None, "8 %"]


def test_tenants_admin_makes_rules_of_their_own_tenant_alone(eva: Client, endpoint: Endpoint) -> None:
    theirs = EndpointFactory()
    assert add(eva, kind="failure_rate", tenant=endpoint.tenant_id, threshold="8 %").status_code == 302
    assert add(eva, kind="latency", endpoint=endpoint.pk, window="10m").status_code == 302
    assert AuditEntry.objects.latest("pk").chain == "acme"
    assert list(errors(add(eva, kind="failure_rate"))) == ["tenant"]
    assert list(errors(add(eva, kind="oldest_due", tenant=endpoint.tenant_id))) == ["tenant"]
    assert list(errors(add(eva, kind="failure_rate", tenant=theirs.tenant_id))) == ["tenant"]
    assert list(errors(add(eva, kind="failure_rate", endpoint=theirs.pk))) == ["endpoint"]
    scopes = AlertRule.objects.order_by("pk").values_list("tenant_id", "endpoint_id")
    assert list(scopes) == [(endpoint.tenant_id, None), (endpoint.tenant_id, endpoint.pk)]


def test_tenants_admin_neither_sees_nor_changes_what_is_everybodys_or_anothers(eva: Client) -> None:
    rows = [rule("failure_rate"), rule("latency", tenant=TenantFactory(slug="other"))]
    said = eva.get(LIST).content.decode()
    assert "everywhere" not in said
    for row in rows:
        for page in ("change", "delete"):
            assert eva.post(page_of(row, page), EMPTY | {"post": "yes"}).status_code == 302
    ticked = {"action": "mute_hour", "_selected_action": [str(row.pk) for row in rows]}
    eva.post(LIST, ticked)
    assert list(AlertRule.objects.values_list("enabled", "muted_until")) == [(True, None)] * 2


def test_operator_sees_rules_and_changes_none(acme: Tenant, client: Client) -> None:
    client.force_login(UserFactory(roles=[(acme, Role.OPERATOR)]))
    row = rule("failure_rate", tenant=acme)
    assert client.get(page_of(row)).status_code == 200
    assert client.post(page_of(row), EMPTY).status_code == 403
    assert client.post(ADD, EMPTY).status_code == 403


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"kind": "failure_rate", "threshold": "5"}, "threshold", "Takes a percentage such as 5 %"),
        ({"kind": "latency", "threshold": "5 %"}, "threshold", "Takes seconds"),
        ({"kind": "dead_letters", "threshold": "1.5"}, "threshold", "Takes a whole number"),
        ({"kind": "latency", "clear_below": "11s"}, "clear_below", "Takes at most the threshold, 10 s"),
        ({"kind": "latency", "window": "90s"}, "window", "Takes whole minutes from 1m to 1h"),
        ({"kind": "latency", "hold_for": "2d"}, "hold_for", "Takes a time up to 24h"),
        ({"kind": "breaker_open", "threshold": "1"}, "threshold", "Is not taken by breaker_open"),
        ({"kind": "no_such"}, "kind", "Select a valid choice"),
        (
            {"kind": "latency", "muted_until_0": "2020-01-01", "muted_until_1": "00:00"},
            "muted_until",
            "Takes a time in",
        ),
    ],
)
def test_mistake_is_named_at_its_field(root: Client, values: dict[str, str], field: str, words: str) -> None:
    found = errors(add(root, **values))
    assert list(found) == [field]
    assert words in found[field][0]
    assert not AlertRule.objects.exists()


def test_endpoint_is_the_tenants_and_a_scope_has_one_rule(root: Client, endpoint: Endpoint) -> None:
    rule("failure_rate", tenant=endpoint.tenant)
    assert list(errors(add(root, kind="failure_rate", tenant=endpoint.tenant_id))) == ["kind"]
    assert list(errors(add(root, kind="latency", tenant=TenantFactory().pk, endpoint=endpoint.pk))) == ["endpoint"]
    assert list(errors(add(root, kind="tenant_failure_rate", endpoint=endpoint.pk))) == ["endpoint"]


def test_rule_is_the_files_no_more_when_a_person_changes_it_but_not_when_they_mute_it(root: Client) -> None:
    row = rule("failure_rate", managed=True)
    form = {"enabled": "on", "threshold": "5 %", "clear_below": "2.5 %", "window": "5m", "minimum_count": "0"}
    form |= {"hold_for": "0s", "clear_for": "1m", "severity": "critical", "mute_reason": "moving"}
    until = timezone.now() + timedelta(hours=3)
    mute = {"muted_until_0": f"{until:%Y-%m-%d}", "muted_until_1": f"{until:%H:%M:%S}"}

    assert root.post(page_of(row), form | mute).status_code == 302
    row.refresh_from_db()
    assert row.managed
    assert row.muted_until is not None
    assert AuditEntry.objects.latest("pk").details["fields"] == ["mute_reason", "muted_until"]

    answer = root.post(page_of(row), form | mute | {"threshold": "9 %"}, follow=True)
    row.refresh_from_db()
    assert (row.managed, row.threshold) == (False, 0.09)
    assert "--adopt" in answer.content.decode()
    details = AuditEntry.objects.latest("pk").details
    assert (details["threshold"], details["fields"]) == (["5 %", "9 %"], ["threshold"])


def test_mute_needs_a_reason(root: Client) -> None:
    mute = {"muted_until_0": f"{timezone.now() + timedelta(days=1):%Y-%m-%d}", "muted_until_1": "00:00"}
    assert list(errors(add(root, kind="latency", **mute))) == ["mute_reason"]


def test_ticked_rules_are_muted_and_unmuted(eva: Client, acme: Tenant) -> None:
    row = rule("failure_rate", tenant=acme)
    before = timezone.now()
    eva.post(LIST, {"action": "mute_shift", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.muted_until is not None
    assert timedelta(hours=7, minutes=59) < row.muted_until - before < timedelta(hours=8, minutes=1)
    assert row.mute_reason == "Muted by eva."
    eva.post(LIST, {"action": "unmute_selected", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert (row.muted_until, row.mute_reason) == (None, "")
    said = AuditEntry.objects.order_by("pk").values_list("chain", "actor", "action")
    assert list(said) == [("acme", "user:eva", "alert_rule.muted"), ("acme", "user:eva", "alert_rule.unmuted")]


def test_rule_is_removed_with_its_entry(eva: Client, acme: Tenant) -> None:
    row = rule("failure_rate", tenant=acme)
    eva.post(page_of(row, "delete"), {"post": "yes"})
    assert not AlertRule.objects.exists()
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.details) == ("alert_rule.removed", {"kind": "failure_rate", "scope": "acme"})


def test_alert_list_tells_state_and_incident(root: Client) -> None:
    from tests.admin.rows import alert

    alert()
    said = root.get(reverse("admin:delivery_alert_changelist")).content.decode()
    assert "Firing" in said
    assert "column-incident" in said
