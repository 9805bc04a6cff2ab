from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEntry
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint, Subscription, Tenant
from tests.api_caller import Caller, fields, signed_in, slugs, with_key
from tests.factories import DeliveryFactory, EndpointFactory, EventFactory, SubscriptionFactory, TenantFactory

pytestmark = pytest.mark.django_db
FILTERS = [{"prefix": {"subject": "payments-"}}]


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def admin(acme: Tenant) -> Caller:
    return with_key(acme)


@pytest.fixture
def endpoint(acme: Tenant) -> Endpoint:
    return EndpointFactory(tenant=acme, slug="ci-cd")


def body(endpoint: Endpoint, /, **changes: Any) -> dict[str, Any]:
    return {"slug": "releases", "endpoint": endpoint.pk, "types": ["plugin.release.*"]} | changes


# --- Create and read ---


def test_subscription_is_made_and_read(admin: Caller, endpoint: Endpoint) -> None:
    sent = body(endpoint, tags=["stable"], filters=FILTERS, retry_policy={"name": "quick", "max_age_s": "30m"})
    made = admin.post("subscriptions", sent)
    assert made.status_code == 201, made.content
    shown = made.json()
    assert shown["endpoint"] == {"id": endpoint.pk, "slug": "ci-cd"}
    assert (shown["tenant"], shown["types"], shown["filters"]) == ("acme", ["plugin.release.*"], FILTERS)
    assert shown["retry_policy"] == {"name": "quick", "max_age_s": 1800.0}
    read = admin.get(made["Location"])
    assert (read.json(), read["ETag"]) == (shown, made["ETag"])
    entry = AuditEntry.objects.get(action="subscription.created")
    assert (entry.chain, entry.target) == ("acme", f"subscription:{shown['id']}")
    assert entry.actor.startswith("key:ak_")


@pytest.mark.parametrize(
    ("changes", "field", "takes"),
    [
        ({"types": ["*"]}, "types", "no event type"),
        ({"types": []}, "types", "1"),
        ({"tags": ["no space"]}, "tags", "no tag"),
        ({"filters": [{"like": {}}]}, "filters", "dialects"),
        ({"filters": {}}, "filters", "list"),
        ({"retry_policy": {"max_age_s": 1}}, "retry_policy.max_age_s", "takes a time"),
        ({"retry_policy": "sometimes"}, "retry_policy.name", "standard"),
        ({"ordering": "maybe"}, "ordering", "maybe"),
        ({"slug": "No Slug"}, "slug", "a–z"),
        ({"slug": 5}, "slug", "text"),
        ({"active": "yes"}, "active", "true or false"),
        ({"endpoint": "ci-cd"}, "endpoint", "whole number"),
        ({"colour": "red"}, "colour", "not known"),
    ],
)
def test_wrong_field_is_named(admin: Caller, endpoint: Endpoint, changes: Any, field: str, takes: str) -> None:
    found = fields(admin.post("subscriptions", body(endpoint, **changes)), 400)
    assert [name.partition("[")[0].removesuffix(".0") for name in found] == [field]
    assert takes in next(iter(found.values()))
    assert not Subscription.objects.exists()


def test_slug_is_given_once(admin: Caller, endpoint: Endpoint) -> None:
    SubscriptionFactory(endpoint=endpoint, slug="releases")
    assert "taken" in fields(admin.post("subscriptions", body(endpoint)), 400)["slug"]


def test_endpoint_of_another_tenant_is_as_unknown_as_none(admin: Caller) -> None:
    answers = [
        admin.post("subscriptions", {"slug": "x", "endpoint": pk, "types": ["a.b"]})
        for pk in (EndpointFactory().pk, 999_999)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    told = [answer.json() for answer in answers]
    assert told[0].pop("request_id") != told[1].pop("request_id")
    assert told[0] == told[1]
    assert not Subscription.objects.exists()


# --- Change ---


def test_change_needs_the_tag_of_what_was_read(admin: Caller, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, slug="releases")
    path = f"subscriptions/{row.pk}"
    assert admin.patch(path, {"active": False}).status_code == 428
    tag = admin.tag(path)
    changed = admin.patch(path, {"tags": ["stable"]}, if_match=tag)
    assert (changed.status_code, changed.json()["tags"]) == (200, ["stable"])
    stale = admin.patch(path, {"active": False}, if_match=tag)
    assert stale.status_code == 412
    row.refresh_from_db()
    assert (row.active, row.tags) == (True, ["stable"])
    assert admin.patch(path, {"active": False}, if_match=changed["ETag"]).status_code == 200
    assert AuditEntry.objects.filter(action="subscription.changed").count() == 2


def test_what_is_left_out_stays(admin: Caller, endpoint: Endpoint) -> None:
    policy = {"name": "quick", "jitter_share": 0.123456}
    row = SubscriptionFactory(
        endpoint=endpoint, slug="releases", filters=FILTERS, tags=["a"], ordering="skip", retry_policy=policy
    )
    path = f"subscriptions/{row.pk}"
    before = admin.get(path).json()
    changed = admin.patch(path, {"slug": "others"}, if_match="*").json()
    assert changed == before | {"slug": "others"}
    assert changed["retry_policy"] == policy


def test_change_that_changes_nothing_is_in_no_trail(admin: Caller, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    assert admin.patch(f"subscriptions/{row.pk}", {"slug": row.slug}, if_match="*").status_code == 200
    assert not AuditEntry.objects.exists()


def test_get_with_the_present_tag_is_not_modified(admin: Caller, endpoint: Endpoint) -> None:
    path = f"subscriptions/{SubscriptionFactory(endpoint=endpoint).pk}"
    again = admin.get(path, if_none_match=admin.tag(path))
    assert (again.status_code, again.content) == (304, b"")


def test_change_of_what_a_file_owns_is_warned_of(admin: Caller, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, managed_by="yaml")
    changed = admin.patch(f"subscriptions/{row.pk}", {"tags": ["x"]}, if_match="*").json()
    assert "subscriptions file" in changed["warnings"][0]


def test_pause_and_resume_are_told_apart_in_the_trail(admin: Caller, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    states = [admin.post(f"subscriptions/{row.pk}/{verb}").json()["active"] for verb in ("pause", "pause", "resume")]
    assert states == [False, False, True]
    actions = list(AuditEntry.objects.order_by("position").values_list("action", flat=True))
    assert actions == ["subscription.paused", "subscription.resumed"]


# --- Delete ---


def test_deleted_subscription_is_gone_but_for_old_deliveries(admin: Caller, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint, slug="releases")
    delivery = DeliveryFactory(subscription=row, dead=True)
    path = f"subscriptions/{row.pk}"
    assert admin.delete(path).status_code == 428
    assert admin.delete(path, if_match=admin.tag(path)).status_code == 204
    assert admin.get(path).status_code == 404
    assert slugs(admin.get("subscriptions")) == []
    assert admin.get(f"deliveries/{delivery.pk}").json()["subscription"] == {"id": row.pk, "slug": "releases"}
    assert admin.post("subscriptions", body(endpoint)).status_code == 201, "the slug is free again"
    assert AuditEntry.objects.filter(action="subscription.deleted").count() == 1


# --- List ---


def test_list_is_filtered(admin: Caller, acme: Tenant, endpoint: Endpoint) -> None:
    SubscriptionFactory(endpoint=endpoint, slug="one", types=["a.b"])
    SubscriptionFactory(endpoint=endpoint, slug="two", types=["c.d", "a.b"], active=False)
    SubscriptionFactory(endpoint=EndpointFactory(tenant=acme), slug="three", types=["c.d"])
    SubscriptionFactory(slug="foreign")
    assert slugs(admin.get("subscriptions")) == ["three", "two", "one"]
    assert slugs(admin.get("subscriptions?type=a.b&active=true")) == ["one"]
    assert slugs(admin.get(f"subscriptions?tenant=acme&endpoint={endpoint.pk}")) == ["two", "one"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("color=red", "color"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("active=perhaps", "active"),
        ("before=x", "before"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_wrong_or_unknown_filter_is_named(admin: Caller, query: str, field: str) -> None:
    assert list(fields(admin.get(f"subscriptions?{query}"), 400)) == [field]


def test_list_goes_on_page_by_page(admin: Caller, endpoint: Endpoint, django_assert_max_num_queries: Any) -> None:
    SubscriptionFactory.create_batch(5, endpoint=endpoint)
    with django_assert_max_num_queries(4):  # the key, its use, its tenant; the rows
        first = admin.get("subscriptions?limit=2&active=true")
    assert first["Link"] == f'<{first.json()["next"]}>; rel="next"'
    seen = list(slugs(first))
    page = first
    while page.json()["next"]:
        page = admin.get(page.json()["next"])
        seen += slugs(page)
    assert seen == list(Subscription.objects.order_by("-pk").values_list("slug", flat=True))
    assert "Link" not in page


# --- Who may ---


def test_viewer_reads_and_changes_nothing(acme: Tenant, endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    eva, path = signed_in((acme, Role.VIEWER)), f"subscriptions/{row.pk}"
    assert eva.get(path).status_code == 200
    assert eva.patch(path, {"active": False}, if_match="*").status_code == 403
    assert eva.delete(path, if_match="*").status_code == 403
    assert eva.post(f"{path}/pause").status_code == 403
    assert eva.post("subscriptions", body(endpoint)).status_code == 403
    assert Subscription.objects.get().active


def test_operator_pauses_and_does_not_change(acme: Tenant, endpoint: Endpoint) -> None:
    path = f"subscriptions/{SubscriptionFactory(endpoint=endpoint).pk}"
    eva = signed_in((acme, Role.OPERATOR))
    assert eva.post(f"{path}/pause").status_code == 200
    assert eva.patch(path, {"slug": "x"}, if_match="*").status_code == 403


def test_another_tenants_is_not_found_whatever_is_asked(endpoint: Endpoint) -> None:
    row = SubscriptionFactory(endpoint=endpoint)
    other, path = with_key(TenantFactory()), f"subscriptions/{row.pk}"
    answers = [
        other.get(path),
        other.patch(path, {"active": False}, if_match="*"),
        other.delete(path, if_match="*"),
        other.post(f"{path}/pause"),
        other.get(f"{path}/dry-run"),
        other.post(f"{path}/test-send", {}),
        other.get("subscriptions?tenant=acme"),
        other.get(f"subscriptions?endpoint={endpoint.pk}"),
        other.post("subscriptions", body(endpoint, tenant="acme")),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert slugs(other.get("subscriptions")) == []
    assert list(Subscription.objects.all()) == [row]


def test_tenant_may_be_left_out_by_who_has_one_only(acme: Tenant, endpoint: Endpoint) -> None:
    eva = signed_in((acme, Role.TENANT_ADMIN), (TenantFactory(), Role.TENANT_ADMIN))
    assert "several" in fields(eva.post("subscriptions", body(endpoint)), 400)["tenant"]
    assert eva.post("subscriptions", body(endpoint, tenant="acme")).status_code == 201


def test_nobody_is_asked_who_they_are(endpoint: Endpoint, client: Any) -> None:
    response = client.get("/internal/events/subscriptions")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="Event Center"')


# --- Dry run ---


def test_dry_run_says_which_events_match_and_what_fails(admin: Caller, acme: Tenant, endpoint: Endpoint) -> None:
    EventFactory(tenant=acme, subject="payments-1")
    EventFactory(tenant=acme, subject="search-1")
    EventFactory(tenant=acme, type="plugin.removed")
    EventFactory()
    rule = {"types": ["plugin.release.published"], "filters": [{"exact": {"tenant": "acme"}}, *FILTERS]}
    found = admin.post("subscriptions/dry-run", rule).json()
    assert (found["looked_at"], found["matched"]) == (3, 1)
    assert [item["failed"] for item in found["items"]] == ["types", "filters[1]", None]
    row = SubscriptionFactory(endpoint=endpoint, tags=["beta"])
    kept = admin.get(f"subscriptions/{row.pk}/dry-run?last=2").json()
    assert [item["failed"] for item in kept["items"]] == ["types", "tags"]
    assert "filters" in next(iter(fields(admin.post("subscriptions/dry-run", rule | {"filters": [{}]}), 400)))
    assert list(fields(admin.get(f"subscriptions/{row.pk}/dry-run?last=1001"), 400)) == ["last"]
