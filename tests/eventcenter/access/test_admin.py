"""The admin as people with roles see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from eventcenter.access.keys import find
from eventcenter.access.models import ApiKey, Membership
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, EndpointState, Tenant
from tests.factories import ApiKeyFactory, EndpointFactory, SubscriptionFactory, TenantFactory, UserFactory, text_of

pytestmark = pytest.mark.django_db

SignIn = Callable[..., Client]


@pytest.fixture
def sign_in() -> SignIn:
    def made(*roles: tuple[Tenant | None, Role]) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=roles, is_staff=False))
        return client

    return made


@pytest.fixture
def acme() -> Tenant:
    tenant: Tenant = TenantFactory(slug="acme")
    return tenant


def test_viewer_does_not_get_in_and_operator_does(sign_in: SignIn, acme: Tenant) -> None:
    assert sign_in((acme, Role.VIEWER)).get(reverse("admin:index")).status_code == 302
    assert sign_in((acme, Role.OPERATOR)).get(reverse("admin:index")).status_code == 200


def test_lists_show_the_own_tenants_rows_alone(sign_in: SignIn, acme: Tenant) -> None:
    SubscriptionFactory(slug="our-releases", endpoint__slug="our-sink", endpoint__tenant=acme)
    SubscriptionFactory(slug="their-releases", endpoint__slug="their-sink", endpoint__tenant__slug="rival")
    client = sign_in((acme, Role.TENANT_ADMIN))
    for model in ("endpoint", "subscription", "tenant"):
        page = client.get(reverse(f"admin:subscriptions_{model}_changelist")).content.decode()
        assert "acme" in page
        assert "rival" not in page
        assert "their-" not in page


def test_anothers_row_is_not_found_and_not_changed(sign_in: SignIn, acme: Tenant) -> None:
    theirs = EndpointFactory()
    client = sign_in((acme, Role.TENANT_ADMIN))
    url = reverse("admin:subscriptions_endpoint_change", args=[theirs.pk])
    assert client.get(url).status_code == 302
    client.post(url, {"slug": "taken"})
    client.post(
        reverse("admin:subscriptions_endpoint_changelist"),
        {"action": "pause_selected", "_selected_action": [theirs.pk]},
    )
    theirs.refresh_from_db()
    assert theirs.slug != "taken"
    assert theirs.state == EndpointState.ENABLED


def test_action_leaves_rows_alone_that_one_may_only_see(sign_in: SignIn, acme: Tenant) -> None:
    ours, seen = EndpointFactory(tenant=acme), EndpointFactory()
    client = sign_in((acme, Role.TENANT_ADMIN), (seen.tenant, Role.VIEWER))
    page = client.get(reverse("admin:subscriptions_endpoint_changelist")).content.decode()
    assert seen.slug in page
    client.post(
        reverse("admin:subscriptions_endpoint_changelist"),
        {"action": "pause_selected", "_selected_action": [ours.pk, seen.pk]},
    )
    assert Endpoint.objects.get(pk=ours.pk).state == EndpointState.PAUSED
    assert Endpoint.objects.get(pk=seen.pk).state == EndpointState.ENABLED


def test_form_offers_the_own_tenants_alone(sign_in: SignIn, acme: Tenant) -> None:
    rival = TenantFactory(slug="rival")
    client = sign_in((acme, Role.TENANT_ADMIN))
    answer = client.post(reverse("admin:eventcenter_apikey_add"), {"tenant": rival.pk, "name": "x", "scopes": ["view"]})
    assert answer.status_code == 200
    assert "rival" not in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_role_is_granted_by_name_and_taken_away_with_entries(sign_in: SignIn, acme: Tenant) -> None:
    eva = UserFactory(username="eva", roles=())
    client = sign_in((acme, Role.TENANT_ADMIN))
    url = reverse("admin:eventcenter_membership_add")
    client.post(url, {"username": "eva", "tenant": acme.pk, "role": "operator"})
    made = Membership.objects.get(user=eva)
    assert (made.tenant, made.role) == (acme, "operator")
    again = client.post(url, {"username": "eva", "tenant": acme.pk, "role": "operator"})
    assert "They have it already" in again.content.decode()
    client.post(reverse("admin:eventcenter_membership_delete", args=[made.pk]), {"post": "yes"})
    assert not Membership.objects.filter(user=eva).exists()
    actions = AuditEntry.objects.filter(chain="acme", action__startswith="member.").order_by("position")
    assert list(actions.values_list("action", flat=True)) == ["member.role_granted", "member.role_revoked"]


def test_platform_role_is_the_platforms_to_give(sign_in: SignIn, acme: Tenant) -> None:
    UserFactory(username="eva", roles=())
    form = {"username": "eva", "role": "operator"}
    url = reverse("admin:eventcenter_membership_add")
    assert "This field is required" in sign_in((acme, Role.TENANT_ADMIN)).post(url, form).content.decode()
    assert not Membership.objects.filter(user__username="eva").exists()
    assert sign_in((None, Role.TENANT_ADMIN)).post(url, form).status_code == 302
    assert Membership.objects.get(user__username="eva").tenant is None


def test_api_key_is_shown_once_and_revoked(sign_in: SignIn, acme: Tenant) -> None:
    client = sign_in((acme, Role.TENANT_ADMIN))
    form = {"tenant": acme.pk, "name": "Dashboard", "scopes": ["view", "replay"]}
    page = client.post(reverse("admin:eventcenter_apikey_add"), form, follow=True).content.decode()
    key = ApiKey.objects.get()
    text = page.partition(f"<code>{key.key_id}.")[2].partition("</code>")[0]
    text = f"{key.key_id}.{text}"
    assert find(text, timezone.now()) == key
    shown = client.get(reverse("admin:eventcenter_apikey_change", args=[key.pk])).content.decode()
    assert text.partition(".")[2] not in shown
    client.post(
        reverse("admin:eventcenter_apikey_changelist"), {"action": "revoke_selected", "_selected_action": [key.pk]}
    )
    assert find(text, timezone.now()) is None


def test_anothers_api_key_is_not_revoked(sign_in: SignIn, acme: Tenant) -> None:
    theirs = ApiKeyFactory()
    sign_in((acme, Role.TENANT_ADMIN)).post(
        reverse("admin:eventcenter_apikey_changelist"), {"action": "revoke_selected", "_selected_action": [theirs.pk]}
    )
    assert find(text_of(theirs), timezone.now()) == theirs


def test_every_page_of_ours_is_scoped() -> None:
    """A new page of a tenant's rows without the scope fails here."""
    from eventcenter.access.admin_scope import TenantScoped
    from eventcenter.access.backend import FOR_ALL, OF_PLATFORM

    ours = ("audit", "delivery", "eventcenter", "subscriptions")
    pages = {
        model._meta.label_lower: page for model, page in admin.site._registry.items() if model._meta.app_label in ours
    }
    assert len(pages) > 8
    unscoped = {label for label, page in pages.items() if not isinstance(page, TenantScoped)}
    assert unscoped <= {*FOR_ALL, *OF_PLATFORM}
