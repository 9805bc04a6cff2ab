"""The preview of a subscription's form, and what is on the pages of endpoints and tenants besides."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, EndpointState, Subscription
from tests.factories import (
    AdapterFactory,
    ApiKeyFactory,
    EndpointFactory,
    EventFactory,
    PublishKeyFactory,
    SubscriptionFactory,
    SuperuserFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
ADD = reverse("admin:subscriptions_subscription_add")
ENDPOINTS = reverse("admin:subscriptions_endpoint_changelist")


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="root"))
    return client


@pytest.fixture
def endpoint() -> Endpoint:
    made: Endpoint = EndpointFactory(slug="ci-cd")
    return made


def form(**values: Any) -> dict[str, Any]:
    return {"types": "plugin.release.published", "filters": "[]", "ordering": "none", "_preview": "Preview"} | values


def change_url(row: Subscription) -> str:
    return reverse("admin:subscriptions_subscription_change", args=[row.pk])


def test_preview_counts_what_matches_and_names_the_rule_that_failed(root: Client, endpoint: Endpoint) -> None:
    tenant = endpoint.tenant
    wanted = EventFactory(tenant=tenant, subject="billing")
    other_type = EventFactory(tenant=tenant, type="plugin.release.withdrawn", subject="billing")
    other_subject = EventFactory(tenant=tenant, subject="search")
    EventFactory()
    given = form(tenant=tenant.pk, filters='[{"exact": {"subject": "billing"}}]')

    answer = root.post(ADD, given)

    preview = answer.context["preview"]
    assert (preview.matches, preview.total) == (1, 3)
    assert [verdict.event.pk for verdict in preview.matched] == [wanted.pk]
    assert {verdict.event.pk: verdict.failed for verdict in preview.missed} == {
        other_type.pk: "types",
        other_subject.pk: "filters[0]",
    }
    text = answer.content.decode()
    assert "1 of the last 3" in text
    assert reverse("admin:eventcenter_event_change", args=[wanted.pk]) in text
    assert "<code>filters[0]</code>" in text
    assert not answer.context["adminform"].form.errors  # the fields that are empty yet decide nothing


def test_preview_saves_nothing_even_when_all_fields_are_right(root: Client, endpoint: Endpoint) -> None:
    given = form(tenant=endpoint.tenant.pk, endpoint=endpoint.pk, slug="releases", retry_name="standard")
    assert root.post(ADD, given).status_code == 200
    assert not Subscription.objects.exists()
    row = SubscriptionFactory(endpoint=endpoint, slug="releases")
    EventFactory(tenant=endpoint.tenant, type="a.b")
    answer = root.post(change_url(row), given | {"types": "a.b", "slug": "renamed"})
    assert (answer.context["preview"].matches, answer.context["preview"].total) == (1, 1)
    row.refresh_from_db()
    assert (row.slug, row.types) == ("releases", ["plugin.release.published"])
    assert not AuditEntry.objects.exists()
    assert 'value="renamed"' in answer.content.decode()  # what was written stays in the form
    given.pop("_preview")
    assert root.post(change_url(row), given | {"active": "on"}).status_code == 302


@pytest.mark.parametrize(
    ("values", "field", "place"),
    [
        ({"filters": '[{"exact": {"subject": 7}}, {"like": {}}]'}, "filters", "filters[1]"),
        ({"filters": '[{"any": [{"prefix": {"data": "x"}}]}]'}, "filters", "filters[0].any[0].prefix"),
        ({"filters": "{"}, "filters", "JSON"),
        ({"types": ""}, "types", "required"),
        ({"types": "plugin.*.x"}, "types", "plugin.*.x"),
    ],
)
def test_preview_says_where_the_fault_is_when_what_decides_is_wrong(
    root: Client, endpoint: Endpoint, values: dict[str, str], field: str, place: str
) -> None:
    answer = root.post(ADD, form(tenant=endpoint.tenant.pk, **values))
    assert answer.context["preview"] is None
    assert place in str(answer.context["adminform"].form.errors[field])
    assert "No preview" in answer.content.decode()


@pytest.mark.parametrize(("asked", "looked_at"), [("2", 2), ("0", 1), ("-3", 3), ("x", 3), ("99999999", 3), ("", 3)])
def test_preview_looks_as_far_back_as_it_is_told(root: Client, endpoint: Endpoint, asked: str, looked_at: int) -> None:
    for _ in range(3):
        EventFactory(tenant=endpoint.tenant)
    answer = root.post(ADD, form(tenant=endpoint.tenant.pk, _preview_last=asked))
    assert answer.context["preview"].total == looked_at


def test_preview_is_of_ones_own_tenants_alone(client: Client, endpoint: Endpoint) -> None:
    EventFactory(tenant=endpoint.tenant)
    own = EndpointFactory()
    client.force_login(UserFactory(roles=((own.tenant, Role.TENANT_ADMIN),)))
    answer = client.post(ADD, form(tenant=endpoint.tenant.pk))
    assert answer.context["preview"] is None
    assert "tenant" in answer.context["adminform"].form.errors


def test_endpoints_page_shows_its_subscriptions_with_links(root: Client, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, slug="releases", tags=["stable"], filters=[{"exact": {"type": "a"}}])
    page = root.get(reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk])).content.decode()
    assert change_url(row) in page
    assert "stable" in page
    assert 'name="subscriptions-0-types"' not in page


def test_test_action_leads_to_the_page_that_sends_when_one_is_ticked(root: Client, endpoint: Endpoint) -> None:
    ticked = {"action": "test_selected", "_selected_action": [endpoint.pk]}
    answer = root.post(ENDPOINTS, ticked)
    assert answer.headers["Location"] == reverse("endpoint-test", args=[endpoint.pk])
    several = root.post(ENDPOINTS, ticked | {"_selected_action": [endpoint.pk, EndpointFactory().pk]}, follow=True)
    assert "Tick one endpoint" in several.content.decode()


def test_operator_pauses_and_resumes_where_they_operate_and_rotates_nowhere(client: Client, endpoint: Endpoint) -> None:
    other = EndpointFactory()
    client.force_login(UserFactory(roles=((endpoint.tenant, Role.OPERATOR), (other.tenant, Role.VIEWER))))

    def act(*actions: str) -> list[str]:
        client.post(ENDPOINTS, {"action": actions, "_selected_action": [endpoint.pk, other.pk]}, follow=True)
        return [Endpoint.objects.get(pk=row.pk).state for row in (endpoint, other)]

    assert act("pause_selected") == [EndpointState.PAUSED, EndpointState.ENABLED]
    assert act("resume_selected") == [EndpointState.ENABLED, EndpointState.ENABLED]
    act("rotate_selected", "pause_selected")
    act("rotate_selected")
    assert [row.action for row in AuditEntry.objects.order_by("id")][:2] == ["endpoint.paused", "endpoint.resumed"]
    assert not AuditEntry.objects.filter(action="endpoint.secret_rotated").exists()
    assert not endpoint.secrets.exists()
    page = reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk])
    assert client.post(page, {"slug": "mine"}).status_code == 403


def test_tenants_page_counts_and_links_what_it_has(root: Client, endpoint: Endpoint) -> None:
    tenant = endpoint.tenant
    SubscriptionFactory.create_batch(12, endpoint=endpoint)
    ApiKeyFactory(tenant=tenant), PublishKeyFactory(tenant=tenant), AdapterFactory(tenant=tenant)
    UserFactory(username="eva", roles=((tenant, Role.OPERATOR),))
    EndpointFactory(slug="of-another")
    answer = root.get(reverse("admin:subscriptions_tenant_change", args=[tenant.pk]))
    sections = {section.label: section for section in answer.context["sections"]}
    counts = {label: (section.count, len(section.lines)) for label, section in sections.items()}
    assert list(counts.values()) == [(1, 1), (12, 10), (1, 1), (1, 1), (1, 1), (1, 1)]
    text = answer.content.decode()
    assert "eva" in text
    assert "of-another" not in text
    for section in sections.values():
        assert root.get(section.everything).context["cl"].result_count == section.count
        assert root.get(section.add).status_code == 200


def test_tenants_page_leaves_out_keys_when_the_person_may_not_see_them(client: Client, endpoint: Endpoint) -> None:
    ApiKeyFactory(tenant=endpoint.tenant)
    client.force_login(UserFactory(roles=((endpoint.tenant, Role.OPERATOR),)))
    answer = client.get(reverse("admin:subscriptions_tenant_change", args=[endpoint.tenant.pk]))
    assert len(answer.context["sections"]) == 3
    assert b"ak_test" not in answer.content
