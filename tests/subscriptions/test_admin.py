from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.details import recordable
from audit.models import AuditEntry
from eventcenter.crypto import unseal
from eventcenter.models import EventType, PublishKey
from eventcenter.publish_keys import open_secret
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Subscription
from subscriptions.routing import open_headers
from subscriptions.services import live_secrets, seal_headers
from tests.factories import (
    EndpointFactory,
    EndpointSecretFactory,
    PublishKeyFactory,
    RejectedEventFactory,
    SubscriptionFactory,
    SuperuserFactory,
    TenantFactory,
)

pytestmark = pytest.mark.django_db
NO_SECRETS = {"secrets-TOTAL_FORMS": "0", "secrets-INITIAL_FORMS": "0"}


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


def url(model: str, page: str = "changelist", *args: object) -> str:
    return reverse(f"admin:{model}_{page}", args=args)


def errors(response: Any) -> dict[str, list[str]]:
    """Field → messages of the page's form; empty when it was saved."""
    return dict(response.context["adminform"].form.errors) if "adminform" in (response.context or {}) else {}


def add_url(channel: str = "webhook") -> str:
    return f"{url('subscriptions_endpoint', 'add')}?channel={channel}"


def endpoint_form(**values: Any) -> dict[str, Any]:
    given = {"slug": "ci-cd", "url": "https://hooks.example.com/x", "content_mode": "structured", "timeout_s": "10"}
    return given | {"lane": "fast", "new_headers": ""} | NO_SECRETS | values


def subscription_form(**values: Any) -> dict[str, Any]:
    given = {"slug": "releases", "types": "plugin.release.*", "tags": "", "filters": "[]", "active": "on"}
    return given | {"retry_name": "standard", "ordering": "none"} | values


def entry() -> AuditEntry:
    return AuditEntry.objects.latest("id")


LISTS = {
    "subscriptions_tenant": TenantFactory,
    "subscriptions_endpoint": EndpointSecretFactory,
    "subscriptions_subscription": SubscriptionFactory,
    "eventcenter_publishkey": PublishKeyFactory,
    "eventcenter_rejectedevent": RejectedEventFactory,
}


@pytest.mark.parametrize("model", LISTS)
def test_query_count_of_a_list_does_not_grow_with_its_rows(
    ops: Client, django_assert_max_num_queries: Any, model: str
) -> None:
    LISTS[model]()
    with django_assert_max_num_queries(12) as one:
        ops.get(url(model))
    for _ in range(9):
        LISTS[model]()
    with django_assert_max_num_queries(len(one.captured_queries)):
        assert ops.get(url(model), {"q": ""}).status_code == 200


@pytest.mark.parametrize("model", [*LISTS, "eventcenter_eventtype", "audit_auditentry"])
def test_list_can_be_searched_or_opened(ops: Client, model: str) -> None:
    assert ops.get(url(model), {"q": "nothing-like-it"}).status_code == 200


def test_new_endpoint_gets_a_secret_that_is_shown_once(ops: Client) -> None:
    tenant = TenantFactory()
    response = ops.post(add_url(), endpoint_form(tenant=tenant.pk), follow=True)
    secret = live_secrets(Endpoint.objects.get())[0]
    assert secret in response.content.decode()
    assert secret not in ops.get(url("subscriptions_endpoint")).content.decode()
    actions = AuditEntry.objects.order_by("id").values_list("chain", "action", "actor")
    assert list(actions) == [
        (tenant.slug, "endpoint.created", "user:eva"),
        (tenant.slug, "endpoint.secret_added", "user:eva"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("url", "ftp://hooks.example.com", "must begin with https://"),
        ("url", "https://user:pw@hooks.example.com", "user name or password"),
        ("url", "https://", "no host"),
        ("new_headers", "x-a", "Line 1: takes 'Name: value'"),
        ("new_headers", "x-a: 1\nhost: evil", "Line 2: host is set by"),
        ("timeout_s", "21", "less than or equal to 20"),
        ("slug", "Not a slug", "Takes 1–63"),
    ],
)
def test_endpoint_is_refused_at_its_field_when_it_is_wrong(ops: Client, field: str, value: str, words: str) -> None:
    form = endpoint_form(tenant=TenantFactory().pk, **{field: value})
    found = errors(ops.post(add_url(), form))
    assert list(found) == [field]
    assert words in found[field][0]
    assert not Endpoint.objects.exists()
    assert not AuditEntry.objects.exists()


def test_stored_headers_are_never_shown_and_stay_unless_replaced(ops: Client) -> None:
    endpoint = EndpointFactory(sealed_headers=seal_headers([("authorization", "Bearer s3cret-token")]))
    page = url("subscriptions_endpoint", "change", endpoint.pk)
    text = ops.get(page).content.decode()
    assert "authorization" in text
    assert "s3cret" not in text
    ops.post(page, endpoint_form(timeout_s="5"))
    endpoint.refresh_from_db()
    assert endpoint.timeout_s == 5
    assert open_headers(endpoint) == (("authorization", "Bearer s3cret-token"),)
    ops.post(page, endpoint_form(new_headers="x-team: ops\nx-key: other-s3cret"))
    endpoint.refresh_from_db()
    assert open_headers(endpoint) == (("x-team", "ops"), ("x-key", "other-s3cret"))
    assert "s3cret" not in json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))
    ops.post(page, endpoint_form(remove_headers="on"))
    endpoint.refresh_from_db()
    assert open_headers(endpoint) == ()


def test_endpoint_page_shows_ages_of_secrets_and_no_value(ops: Client) -> None:
    secret = EndpointSecretFactory()
    EndpointSecret.objects.update(created_at=timezone.now() - timedelta(days=3))
    text = ops.get(url("subscriptions_endpoint", "change", secret.endpoint_id)).content.decode()
    assert "3\xa0days" in text
    assert unseal(bytes(secret.sealed_secret), EndpointSecret.SECRET_PURPOSE) not in text


def act(ops: Client, action: str, *endpoints: Endpoint) -> str:
    data = {"action": action, "_selected_action": [row.pk for row in endpoints]}
    return str(ops.post(url("subscriptions_endpoint"), data, follow=True).content.decode())


def test_rotation_shows_the_new_secret_once_and_lets_the_old_one_sign_along(ops: Client) -> None:
    old = EndpointSecretFactory()
    text = act(ops, "rotate_selected", old.endpoint)
    new, kept = live_secrets(old.endpoint)
    assert new in text
    assert kept not in text
    old.refresh_from_db()
    assert timedelta(hours=23) < old.expires_at - timezone.now() <= timedelta(hours=24)
    assert entry().action == "endpoint.secret_rotated"
    assert "whsec_" not in json.dumps(entry().details)


def test_what_was_missed_is_offered_for_replay_when_a_disabled_endpoint_is_enabled(ops: Client) -> None:
    disabled, paused = EndpointFactory(state=EndpointState.DISABLED), EndpointFactory(state=EndpointState.PAUSED)
    told = act(ops, "resume_selected", disabled, paused)
    assert f"/console/replays/new?endpoint={disabled.pk}&amp;gap=1" in told
    assert f"endpoint={paused.pk}&" not in told, "a pause loses nothing"


def test_pause_and_resume_say_what_they_did(ops: Client) -> None:
    endpoint, paused = EndpointFactory(), EndpointFactory(state=EndpointState.PAUSED)
    assert "1 paused" in act(ops, "pause_selected", endpoint, paused)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.state_reason) == ("paused", "Paused by eva.")
    assert "2 resumed" in act(ops, "resume_selected", endpoint, paused)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.state_reason) == ("enabled", "")
    actions = AuditEntry.objects.values_list("action", flat=True)
    assert sorted(actions) == ["endpoint.paused", "endpoint.resumed", "endpoint.resumed"]


def test_subscription_is_made_and_audited(ops: Client) -> None:
    endpoint = EndpointFactory()
    filters = json.dumps([{"prefix": {"subject": "payments-"}}])
    form = subscription_form(tenant=endpoint.tenant_id, endpoint=endpoint.pk, filters=filters, tags="security,eu")
    assert errors(ops.post(url("subscriptions_subscription", "add"), form)) == {}
    made = Subscription.objects.get()
    assert (made.types, made.tags) == (["plugin.release.*"], ["security", "eu"])
    assert entry().action == "subscription.created"
    assert entry().details["types"] == [None, ["plugin.release.*"]]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("filters", '[{"like": {"a": "b"}}]', "filters[0]: must use one of the dialects"),
        ("filters", '{"a": 1}', "must be a list of filters"),
        ("filters", "not json", "valid JSON"),
        ("types", "*", "is no event type"),
        ("tags", "two words", "is no tag"),
    ],
)
def test_subscription_is_refused_at_its_field_when_it_is_wrong(ops: Client, field: str, value: str, words: str) -> None:
    endpoint = EndpointFactory()
    form = subscription_form(tenant=endpoint.tenant_id, endpoint=endpoint.pk, **{field: value})
    found = errors(ops.post(url("subscriptions_subscription", "add"), form))
    assert list(found) == [field]
    assert words in found[field][0]
    assert not Subscription.objects.exists()


def change_policy(ops: Client, row: Subscription, **values: str) -> dict[str, list[str]]:
    given = subscription_form(endpoint=row.endpoint_id, slug=row.slug, types=",".join(row.types), **values)
    return errors(ops.post(url("subscriptions_subscription", "change", row.pk), given))


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"retry_name": "standard"}, None),
        ({"retry_name": "quick"}, {"name": "quick"}),
        ({"retry_waits": "5s, 5m, 1.5h"}, {"name": "standard", "schedule_s": [0.0, 5.0, 300.0, 5400.0]}),
        ({"retry_waits": "none"}, {"name": "standard", "schedule_s": [0.0]}),
        (
            {"retry_name": "patient", "retry_jitter": "25%", "retry_max_age": "2d", "retry_permanent": "400, 422"},
            {"name": "patient", "jitter_share": 0.25, "max_age_s": 172_800.0, "permanent_statuses": [400, 422]},
        ),
    ],
)
def test_retry_policy_is_stored_and_shown_again_as_it_was_written(
    ops: Client, values: dict[str, str], stored: dict[str, object] | None
) -> None:
    row = SubscriptionFactory(retry_policy={"name": "quick", "max_age_s": 600})
    assert change_policy(ops, row, **values) == {}
    row.refresh_from_db()
    assert row.retry_policy == stored
    assert entry().details == {
        "fields": ["retry_policy"],
        "retry_policy": [{"name": "quick", "max_age_s": 600}, recordable(stored)],
    }
    entries = AuditEntry.objects.count()
    shown = ops.get(url("subscriptions_subscription", "change", row.pk)).context["adminform"].form.initial
    written = {name: value for name, value in shown.items() if name.startswith("retry_") and name != "retry_policy"}
    assert change_policy(ops, row, **written) == {}
    row.refresh_from_db()
    assert row.retry_policy == stored
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("retry_waits", "soon", "such as 30s, 5m or 2h"),
        ("retry_waits", "9d", "from 0 s to 7 d"),
        ("retry_jitter", "120", "percentage from 0 to 100"),
        ("retry_jitter", "much", "percentage from 0 to 100"),
        ("retry_max_age", "5s", "from 1 min to 30 d"),
        ("retry_permanent", "410", "has a meaning of its own"),
        ("retry_permanent", "teapot", "status codes from 400 to 599"),
        ("retry_name", "slow", "valid choice"),
    ],
)
def test_retry_policy_is_refused_at_its_field_when_it_is_wrong(ops: Client, field: str, value: str, words: str) -> None:
    row = SubscriptionFactory(retry_policy={"name": "quick"})
    found = change_policy(ops, row, **{field: value})
    assert list(found) == [field]
    assert words in found[field][0]
    row.refresh_from_db()
    assert row.retry_policy == {"name": "quick"}


def test_page_opens_when_a_stored_policy_cannot_be_used(ops: Client) -> None:
    row = SubscriptionFactory(retry_policy={"schedule_s": "often"})
    assert ops.get(url("subscriptions_subscription", "change", row.pk)).status_code == 200
    assert ops.get(url("subscriptions_subscription")).status_code == 200


def test_list_tells_policy_and_order(ops: Client) -> None:
    SubscriptionFactory(retry_policy={"name": "quick", "max_age_s": 600}, ordering="skip")
    assert "quick, changed; in order" in ops.get(url("subscriptions_subscription")).content.decode()


def test_ordering_is_kept_and_audited(ops: Client) -> None:
    row = SubscriptionFactory()
    assert change_policy(ops, row, ordering="block") == {}
    row.refresh_from_db()
    assert row.ordering == "block"
    assert entry().details == {"fields": ["ordering"], "ordering": ["none", "block"]}


def test_subscription_cannot_use_another_tenants_endpoint(ops: Client) -> None:
    foreign, row = EndpointFactory(), SubscriptionFactory()
    page = url("subscriptions_subscription", "change", row.pk)
    found = errors(ops.post(page, subscription_form(endpoint=foreign.pk)))
    assert "belongs to" in found["endpoint"][0]
    row.refresh_from_db()
    assert row.endpoint.tenant_id == row.tenant_id


def test_change_of_what_a_file_owns_is_warned_about(ops: Client) -> None:
    row = SubscriptionFactory(managed_by="yaml")
    form = subscription_form(endpoint=row.endpoint_id, tags="eu")
    text = ops.post(url("subscriptions_subscription", "change", row.pk), form, follow=True).content.decode()
    assert "belongs to the subscriptions file" in text
    assert entry().details == {"fields": ["slug", "tags", "types"], "slug": [row.slug, "releases"]} | {
        "tags": [[], ["eu"]],
        "types": [["plugin.release.published"], ["plugin.release.*"]],
    }


def test_new_publish_key_shows_its_secret_once(ops: Client) -> None:
    tenant = TenantFactory()
    form = {"tenant": tenant.pk, "name": "Pipeline", "active": "on"}
    text = ops.post(url("eventcenter_publishkey", "add"), form, follow=True).content.decode()
    key = PublishKey.objects.get()
    assert key.key_id.startswith("pk_")
    secret = open_secret(key)
    assert secret in text
    assert secret not in ops.get(url("eventcenter_publishkey", "change", key.pk)).content.decode()
    assert (entry().chain, entry().action, entry().target) == (
        tenant.slug,
        "publish_key.created",
        f"publish_key:{key.key_id}",
    )


def test_publish_key_keeps_its_secret_when_it_is_switched_off(ops: Client) -> None:
    key = PublishKeyFactory()
    before = open_secret(key)
    text = ops.post(url("eventcenter_publishkey", "change", key.pk), {"name": key.name}, follow=True).content.decode()
    key.refresh_from_db()
    assert not key.active
    assert open_secret(key) == before
    assert "whsec_" not in text
    assert entry().details == {"fields": ["active"], "active": [True, False]}


def test_nothing_is_deleted_and_logs_are_not_changed(ops: Client) -> None:
    rejected = RejectedEventFactory(value=b"\xff\x00", key=b"acme|x")
    text = ops.get(url("eventcenter_rejectedevent", "change", rejected.pk)).content.decode()
    assert "base64:/wA=" in text
    kind = EventType.objects.create(name="a.b", version=1, schema={"type": "object"})
    assert (
        "&quot;type&quot;: &quot;object&quot;"
        in ops.get(url("eventcenter_eventtype", "change", kind.pk)).content.decode()
    )
    for model, pk in (
        ("eventcenter_rejectedevent", rejected.pk),
        ("eventcenter_eventtype", kind.pk),
        ("subscriptions_endpoint", EndpointFactory().pk),
        ("subscriptions_tenant", TenantFactory().pk),
    ):
        assert ops.post(url(model, "delete", pk), {"post": "yes"}).status_code == 403
    assert ops.post(url("eventcenter_rejectedevent", "change", rejected.pk), {}).status_code == 403


def test_audit_entry_is_shown_with_its_digest(ops: Client) -> None:
    act(ops, "pause_selected", EndpointFactory())
    text = ops.get(url("audit_auditentry", "change", entry().pk)).content.decode()
    assert bytes(entry().digest).hex() in text
