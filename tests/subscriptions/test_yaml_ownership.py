"""Whose an object is: what was made by hand is not taken over, and a change by hand is not lost without a word."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from audit.models import AuditEntry
from subscriptions.models import AppliedSpec, Endpoint, EndpointState, Subscription, Tenant
from subscriptions.routing import open_headers
from subscriptions.services import resume, seal_credentials, seal_headers
from subscriptions.yaml_sync import Options, Plan, SyncRefusedError, read, sync
from subscriptions.yaml_sync.printing import plan_lines
from tests.factories import EndpointFactory, EndpointSecretFactory, SubscriptionFactory, SuperuserFactory, TenantFactory
from tests.subscriptions.test_yaml_sync import ACTOR, ENVIRON, apply, endpoint_data, file_data

RELEASES = {"slug": "releases", "types": ["plugin.release.published"]}
UNCHANGED = "0 added, 0 changed, 0 removed, 3 unchanged"


def refused(*endpoints: dict[str, Any], **options: Any) -> list[str]:
    """The lines of the conflicts; nothing was changed, and a dry run tells the same."""
    spec, entries = read(file_data(*endpoints), ENVIRON), AuditEntry.objects.count()
    planned = sync(spec, ACTOR, dry_run=True, options=Options(**options))
    with pytest.raises(SyncRefusedError) as caught:
        sync(spec, ACTOR, options=Options(**options))
    assert list(plan_lines(planned)) == list(plan_lines(caught.value.plan))
    assert AuditEntry.objects.count() == entries
    return list(plan_lines(Plan(conflicts=planned.conflicts)))[:-1]


@pytest.fixture
def synced(db: None) -> Endpoint:
    apply(endpoint_data(timeout_s=10, headers={"x-team": "ops", "authorization": "Bearer ${TOKEN}"}))
    return Endpoint.objects.get()


def same(**values: Any) -> dict[str, Any]:
    headers = {"x-team": "ops", "authorization": "Bearer ${TOKEN}"}
    return endpoint_data(**{"timeout_s": 10, "headers": headers} | values)


@pytest.mark.django_db
def test_objects_made_by_hand_are_not_taken_over_when_not_told() -> None:
    tenant = TenantFactory(slug="acme", name="Acme by hand")
    endpoint = EndpointFactory(tenant=tenant, slug="ci-cd", url="https://hooks.example.com/ci-cd")
    SubscriptionFactory(endpoint=endpoint, slug="releases")
    assert refused(endpoint_data()) == [
        "! tenant acme was not made by this file (--adopt to go on)",
        "! endpoint acme/ci-cd was not made by this file (--adopt to go on)",
        "! subscription acme/releases was not made by this file (--adopt to go on)",
    ]
    assert set(Endpoint.objects.values_list("managed_by")) == {("",)}
    assert not AppliedSpec.objects.exists()
    assert Tenant.objects.get().name == "Acme by hand"


@pytest.mark.django_db
def test_objects_made_by_hand_are_taken_over_when_told() -> None:
    tenant = TenantFactory(slug="acme", name="Acme")
    endpoint = EndpointFactory(tenant=tenant, slug="ci-cd", url="https://hooks.example.com/ci-cd")
    secret = EndpointSecretFactory(endpoint=endpoint)
    assert apply(endpoint_data(), adopt=True)[:4] == [
        "~ tenant acme",
        "    ~ owner: now the file",
        "~ endpoint acme/ci-cd",
        "    ~ owner: now the file",
    ]
    assert endpoint.secrets.get() == secret
    assert apply(endpoint_data()) == [UNCHANGED]


@pytest.mark.django_db
def test_tenant_made_by_hand_is_used_as_it_is_when_the_file_says_the_same() -> None:
    TenantFactory(slug="acme", name="Acme")
    assert apply(endpoint_data())[-1] == "2 added, 0 changed, 0 removed, 1 unchanged"
    assert not AppliedSpec.objects.filter(kind="tenant").exists()


def test_drift_is_refused_and_named_when_a_field_was_changed_by_hand(synced: Endpoint) -> None:
    Endpoint.objects.update(timeout_s=12, url="https://elsewhere.example.com/s3cret-path")
    Subscription.objects.update(active=False, tags=["eu"])
    assert refused(same()) == [
        "! endpoint acme/ci-cd was changed by hand since the last sync (--overwrite-drift to go on)",
        "    url: file ${HOOKS}/ci-cd; last applied ${HOOKS}/ci-cd; now https://elsewhere.example.com/…",
        "    timeout_s: file 10; last applied 10; now 12",
        "! subscription acme/releases was changed by hand since the last sync (--overwrite-drift to go on)",
        "    tags: file []; last applied []; now [eu]",
        "    active: file true; last applied true; now false",
    ]
    assert Endpoint.objects.get().timeout_s == 12


def test_drift_is_set_back_when_told(synced: Endpoint) -> None:
    Endpoint.objects.update(timeout_s=12)
    assert apply(same(), overwrite_drift=True)[:3] == [
        "~ endpoint acme/ci-cd",
        "    - timeout_s: 12",
        "    + timeout_s: 10",
    ]
    assert apply(same()) == [UNCHANGED]


def test_drift_is_none_when_the_file_has_been_brought_to_the_same(synced: Endpoint) -> None:
    Endpoint.objects.update(timeout_s=12)
    assert apply(same(timeout_s=12)) == [UNCHANGED]
    Endpoint.objects.update(timeout_s=10)
    assert refused(same(timeout_s=12))[1] == "    timeout_s: file 12; last applied 12; now 10"


def test_drift_is_none_when_only_the_file_has_changed(synced: Endpoint) -> None:
    assert apply(same(timeout_s=5, url="${HOOKS}/other"))[-1] == "0 added, 1 changed, 0 removed, 2 unchanged"


def test_drift_of_a_header_names_it_and_shows_no_value(synced: Endpoint) -> None:
    Endpoint.objects.update(sealed_headers=seal_headers([("x-team", "h4nd"), ("x-new", "n3w")]))
    assert refused(same()) == [
        "! endpoint acme/ci-cd was changed by hand since the last sync (--overwrite-drift to go on)",
        "    headers.x-team: file set; last applied set; now set to another value",
        "    headers.authorization: file set; last applied set; now removed",
        "    headers.x-new: file not set; last applied not set; now set to another value",
    ]
    apply(same(), overwrite_drift=True)
    assert dict(open_headers(Endpoint.objects.get())) == {"x-team": "ops", "authorization": "Bearer s3cret-token"}


def test_headers_that_were_only_sealed_anew_are_no_drift(synced: Endpoint) -> None:
    """As after a rotation of the encryption key."""
    Endpoint.objects.update(sealed_headers=seal_headers(open_headers(synced)))
    assert apply(same()) == [UNCHANGED]


@pytest.mark.django_db
def test_drift_of_a_secret_setting_is_named_without_its_value() -> None:
    data = {"slug": "sink", "channel": "amqp", "settings": {"url": "amqps://ops:${TOKEN}@rabbit.example.com/"}}
    apply(data)
    Endpoint.objects.update(sealed_credentials=seal_credentials({"url": "amqp://ops:h4nd@rabbit.example.com/"}))
    [_, line] = refused(data)
    assert line == "    settings.url: file set; last applied set; now set to another value"
    kept = json.dumps(list(AppliedSpec.objects.values_list("values", flat=True)))
    assert "s3cret" not in kept
    assert "${TOKEN}" in kept


def test_drift_of_a_tenant_is_refused(synced: Endpoint) -> None:
    Tenant.objects.update(rate_limit=5)
    assert refused(same())[1] == "    rate_limit: file not set; last applied not set; now 5"


def test_object_that_was_deleted_by_hand_is_not_made_again_when_not_told(synced: Endpoint) -> None:
    Endpoint.objects.get().delete()
    assert refused(same()) == [
        f"! {what} is gone: it was deleted or renamed by hand since the last sync (--overwrite-drift to go on)"
        for what in ("endpoint acme/ci-cd", "subscription acme/releases")
    ]
    assert apply(same(), overwrite_drift=True)[-1] == "2 added, 0 changed, 0 removed, 1 unchanged"


def test_removed_object_that_was_switched_on_by_hand_is_left_when_not_told(synced: Endpoint) -> None:
    apply()
    endpoint = Endpoint.objects.get()
    assert endpoint.state == EndpointState.DISABLED
    resume(endpoint, ACTOR)
    Subscription.objects.update(active=True)
    found = refused()
    assert found[0].startswith("! subscription acme/releases was switched on by hand after the file stopped naming it")
    assert found[3] == "    state: file not named; last applied disabled; now enabled"
    apply(overwrite_drift=True)
    assert Endpoint.objects.get().state == EndpointState.DISABLED
    assert not Subscription.objects.get().active


def test_object_owned_since_before_records_were_kept_follows_the_file(synced: Endpoint) -> None:
    AppliedSpec.objects.all().delete()
    Endpoint.objects.update(timeout_s=12)
    assert apply(same())[0] == "~ endpoint acme/ci-cd"
    Endpoint.objects.update(timeout_s=12)
    assert refused(same())


@pytest.mark.django_db
def test_other_tenants_are_left_alone_when_one_is_named() -> None:
    data = file_data(endpoint_data())
    other = {"slug": "other", "endpoints": [endpoint_data()]}
    sync(read(data | {"tenants": [*data["tenants"], other]}, ENVIRON), ACTOR)
    assert apply(endpoint_data(subscriptions=[]), tenant="acme")[0].startswith("- subscription acme/releases")
    assert Subscription.objects.get(tenant__slug="other").active
    assert AppliedSpec.objects.filter(tenant__slug="other", removed=True).count() == 0
    assert apply(endpoint_data(), dry_run=True)[-1].endswith(" 2 removed, 2 unchanged")


@pytest.mark.django_db(transaction=True)
def test_two_syncs_at_once_make_each_object_once() -> None:
    spec = read(file_data(endpoint_data()), ENVIRON)

    def run(_: int) -> list[str]:
        try:
            return list(plan_lines(sync(spec, ACTOR)))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        ends = sorted(lines[-1] for lines in pool.map(run, range(4)))
    assert ends == [UNCHANGED] * 3 + ["3 added, 0 changed, 0 removed, 0 unchanged"]
    assert Endpoint.objects.get().secrets.count() == 1


@pytest.mark.django_db
def test_nothing_is_left_when_the_last_object_cannot_be_kept() -> None:
    """A row that breaks a rule of the database, as an error anywhere would."""
    other = endpoint_data(slug="other", subscriptions=[RELEASES | {"slug": "others"}])
    spec = read(file_data(endpoint_data(), other), ENVIRON)
    object.__setattr__(spec.tenants[0].endpoints[1].subscriptions[0], "slug", "x" * 64)
    with pytest.raises(Exception, match="value too long"):
        sync(spec, ACTOR)
    assert not Tenant.objects.exists()
    assert not AuditEntry.objects.exists()


def test_change_of_an_owned_tenant_in_the_admin_is_warned_about(synced: Endpoint, client: Client) -> None:
    client.force_login(SuperuserFactory())
    page = f"/admin/subscriptions/tenant/{synced.tenant_id}/change/"
    text = client.post(page, {"name": "Acme Inc", "active": "on"}, follow=True).content.decode()
    assert "Acme belongs to the subscriptions file" in text


def test_audit_trail_tells_each_change_without_a_secret_or_a_token_in_a_url(synced: Endpoint) -> None:
    apply(same(url="https://hooks.slack.com/services/T0/B0/t0ken", rate_limit=2.5, headers={"x-team": "n3w"}))
    details = AuditEntry.objects.filter(action="endpoint.changed").get().details
    assert details == {
        "url": "https://hooks.example.com/… → https://hooks.slack.com/…",
        "rate_limit": "2.5",
        "headers.x-team": "changed, value not shown",
        "headers.authorization": "removed",
    }
