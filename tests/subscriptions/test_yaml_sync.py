from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.models import Delivery
from eventcenter.models import PublishKey
from subscriptions.management.commands.sync_subscriptions import DEFAULT_FILE
from subscriptions.models import Endpoint, EndpointState, Subscription, Tenant
from subscriptions.routing import open_headers
from subscriptions.services import live_secrets, pause
from subscriptions.yaml_sync import Options, SpecError, parse_file, read, sync
from subscriptions.yaml_sync.document import load_yaml
from subscriptions.yaml_sync.printing import plan_lines
from tests.factories import DeliveryFactory, EndpointFactory, SubscriptionFactory, TenantFactory

ACTOR = Actor("system:test")
ENVIRON = {"HOOKS": "https://hooks.example.com", "TOKEN": "s3cret-token"}


def endpoint_data(**values: Any) -> dict[str, Any]:
    return {
        "slug": "ci-cd",
        "url": "${HOOKS}/ci-cd",
        "subscriptions": [{"slug": "releases", "types": ["plugin.release.published"]}],
    } | values


def file_data(*endpoints: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "tenants": [{"slug": "acme", "name": "Acme", "endpoints": list(endpoints)}]}


def problems_of(data: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(data, ENVIRON)
    return [str(problem) for problem in caught.value.problems]


def apply(*endpoints: dict[str, Any], dry_run: bool = False, **options: Any) -> list[str]:
    spec = read(file_data(*endpoints), ENVIRON)
    return list(plan_lines(sync(spec, ACTOR, dry_run=dry_run, options=Options(**options))))


def test_demo_file_is_valid_and_holds_two_tenants_and_six_subscriptions() -> None:
    spec = parse_file(DEFAULT_FILE, {"DEMO_RECEIVER_URL": "http://127.0.0.1:9000"})
    subscriptions = [
        item for tenant in spec.tenants for endpoint in tenant.endpoints for item in endpoint.subscriptions
    ]
    assert (len(spec.tenants), len(subscriptions)) == (2, 6)


def test_demo_file_names_the_field_and_the_variable_when_the_variable_is_not_set() -> None:
    with pytest.raises(SpecError) as caught:
        parse_file(DEFAULT_FILE, {})
    line = DEFAULT_FILE.read_text().splitlines().index("        url: ${DEMO_RECEIVER_URL}/ci-cd") + 1
    assert str(caught.value.problems[0]) == (
        f"line {line}, tenants[0].endpoints[0].url: the environment variable DEMO_RECEIVER_URL is not set"
    )


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ({"url": "ftp://x"}, "tenants[0].endpoints[0].url: the URL must begin with https:// or http://"),
        ({"url": "https://u:p@x"}, "tenants[0].endpoints[0].url: the URL holds a user name or password"),
        ({"url": None}, "tenants[0].endpoints[0].url: is missing"),
        ({"slug": "Not A Slug"}, "tenants[0].endpoints[0].slug: Takes 1–63"),
        ({"content_mode": "xml"}, "tenants[0].endpoints[0].content_mode: takes one of structured, binary"),
        ({"timeout_s": 21}, "tenants[0].endpoints[0].timeout_s: takes a number from 0.1 to 20"),
        ({"timeout_s": True}, "tenants[0].endpoints[0].timeout_s: takes a number"),
        ({"headers": {"x-a": 1}}, "tenants[0].endpoints[0].headers: takes names and texts"),
        ({"headers": {"webhook-id": "1"}}, "tenants[0].endpoints[0].headers.webhook-id: webhook-id is set by"),
        (
            {"headers": {"x-a": "1\r\nx-b: 2"}},
            "tenants[0].endpoints[0].headers.x-a: the value of x-a holds a line break",
        ),
        ({"headers": {"x-a": "${NOPE}"}}, "tenants[0].endpoints[0].headers.x-a: the environment variable NOPE is not"),
        ({"colour": "red"}, "tenants[0].endpoints[0].colour: is not known here; known are"),
        ({"subscriptions": "all"}, "tenants[0].endpoints[0].subscriptions: takes a list"),
    ],
)
def test_problem_names_its_path_when_an_endpoint_is_wrong(endpoint: dict[str, Any], problem: str) -> None:
    assert [found[: len(problem)] for found in problems_of(file_data(endpoint_data(**endpoint)))] == [problem]


@pytest.mark.parametrize(
    ("subscription", "problem"),
    [
        ({"types": []}, "types: takes at least one event type"),
        ({"types": ["*"]}, "types: '*' is no event type"),
        ({"types": ["a.*.b"]}, "types: 'a.*.b' is no event type"),
        ({"types": ["a", "a"]}, "types: names one of them twice"),
        ({"types": "a"}, "types: takes a list of texts"),
        ({"tags": ["two words"]}, "tags: 'two words' is no tag"),
        ({"active": "yes please"}, "active: takes true or false"),
        ({"filters": [{"prefix": {}}]}, "filters[0].prefix: must be an object of attribute names and values"),
        ({"filters": [{"like": {"a": "b"}}]}, "filters[0]: must use one of the dialects"),
    ],
)
def test_problem_names_its_path_when_a_subscription_is_wrong(subscription: dict[str, Any], problem: str) -> None:
    item = {"slug": "releases", "types": ["plugin.release.published"]} | subscription
    where = f"tenants[0].endpoints[0].subscriptions[0].{problem}"
    assert [found[: len(where)] for found in problems_of(file_data(endpoint_data(subscriptions=[item])))] == [where]


def test_every_problem_is_told_at_once() -> None:
    assert len(problems_of({"version": 2, "tenants": [{"slug": "-"}, {"slug": "a", "endpoints": [{"url": "x"}]}]})) == 4


def test_a_tenant_cannot_have_the_platforms_name() -> None:
    assert problems_of({"version": 1, "tenants": [{"slug": "platform"}]}) == [
        "tenants[0].slug: 'platform' is the platform's own name"
    ]


def test_twins_are_refused_when_two_have_one_slug() -> None:
    found = problems_of(file_data(endpoint_data(), endpoint_data()))
    assert found == [
        "tenants[0].endpoints: the slug 'ci-cd' stands twice",
        "tenants[0].subscriptions: the slug 'releases' stands twice",
    ]


def test_a_problem_never_repeats_a_header_value() -> None:
    found = problems_of(file_data(endpoint_data(headers={"authorization": "Bearer ${TOKEN}\n"})))
    assert found
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' stands twice"),
        ("a: !!python/name:os", "line 1"),
    ],
)
def test_line_is_named_when_the_yaml_itself_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_yaml(text)
    assert str(caught.value.problems[0]).startswith(problem)


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_file_is_refused_when_it_is_no_mapping(data: object) -> None:
    assert problems_of(data)[0].startswith("the file: takes a mapping")


@pytest.mark.django_db
def test_everything_is_made_once_and_a_second_run_changes_nothing() -> None:
    headers = {"authorization": "Bearer ${TOKEN}"}
    assert apply(endpoint_data(headers=headers)) == [
        "+ tenant acme  Acme",
        "+ endpoint acme/ci-cd  ${HOOKS}/ci-cd",
        "+ subscription acme/releases  plugin.release.published → ci-cd",
        "3 added, 0 changed, 0 removed, 0 unchanged",
    ]
    endpoint = Endpoint.objects.get()
    assert (endpoint.url, endpoint.managed_by) == ("https://hooks.example.com/ci-cd", "yaml")
    assert open_headers(endpoint) == (("authorization", "Bearer s3cret-token"),)
    secrets = live_secrets(endpoint)
    assert len(secrets) == 1
    entries = AuditEntry.objects.count()
    assert apply(endpoint_data(headers=headers)) == ["0 added, 0 changed, 0 removed, 3 unchanged"]
    assert live_secrets(endpoint) == secrets
    assert AuditEntry.objects.count() == entries


@pytest.mark.django_db
def test_audit_trail_says_what_changed_without_any_secret() -> None:
    apply(endpoint_data(headers={"authorization": "Bearer ${TOKEN}"}))
    actions = list(AuditEntry.objects.filter(chain="acme").order_by("position").values_list("action", flat=True))
    assert actions == ["tenant.created", "endpoint.created", "endpoint.secret_added", "subscription.created"]
    said = json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))
    assert "s3cret" not in said
    assert "whsec_" not in said


@pytest.mark.django_db
def test_change_is_shown_as_a_diff_and_applied() -> None:
    apply(endpoint_data())
    changed = endpoint_data(
        content_mode="binary",
        url="${HOOKS}/other",
        headers={"x-team": "ops"},
        subscriptions=[{"slug": "releases", "types": ["plugin.release.*"], "tags": ["security"]}],
    )
    assert apply(changed) == [
        "~ endpoint acme/ci-cd",
        "    - url: https://hooks.example.com/…",
        "    + url: ${HOOKS}/other",
        "    - content_mode: structured",
        "    + content_mode: binary",
        "    ~ headers.x-team: set, value not shown",
        "~ subscription acme/releases",
        "    - types: [plugin.release.published]",
        "    + types: [plugin.release.*]",
        "    - tags: []",
        "    + tags: [security]",
        "0 added, 2 changed, 0 removed, 1 unchanged",
    ]
    assert Subscription.objects.get().types == ["plugin.release.*"]
    assert Endpoint.objects.get().content_mode == "binary"


@pytest.mark.django_db
def test_dry_run_prints_the_same_plan_and_writes_nothing() -> None:
    planned = apply(endpoint_data(), dry_run=True)
    assert not Tenant.objects.exists()
    assert not AuditEntry.objects.exists()
    assert planned == apply(endpoint_data())


@pytest.mark.django_db
def test_removed_rows_are_switched_off_and_come_back_with_the_file() -> None:
    other = endpoint_data(slug="other", subscriptions=[{"slug": "others", "types": ["a.b"]}])
    apply(endpoint_data(), other)
    delivery = DeliveryFactory(subscription=Subscription.objects.get(slug="others"), delivered=True)
    assert apply(endpoint_data()) == [
        "- subscription acme/others  switched off; its history stays",
        "- endpoint acme/other  disabled; what still waits for it ends as dead, its history stays",
        "0 added, 0 changed, 2 removed, 3 unchanged",
    ]
    assert Endpoint.objects.get(slug="other").state == EndpointState.DISABLED
    assert Delivery.objects.for_console().get(pk=delivery.pk).subscription.slug == "others"
    assert apply(endpoint_data()) == ["0 added, 0 changed, 0 removed, 3 unchanged"]
    back = apply(endpoint_data(), other)
    assert back[:3] == ["~ subscription acme/others", "    - active: false", "    + active: true"]
    assert Endpoint.objects.get(slug="other").state == EndpointState.ENABLED


@pytest.mark.django_db
def test_a_pause_by_hand_stays_when_the_file_is_synced() -> None:
    apply(endpoint_data())
    assert pause(Endpoint.objects.get(), ACTOR, "maintenance")
    apply(endpoint_data(timeout_s=5))
    assert Endpoint.objects.get().state == EndpointState.PAUSED


@pytest.mark.django_db
def test_rows_of_others_are_left_alone() -> None:
    tenant = TenantFactory(slug="acme", name="Acme")
    by_hand = SubscriptionFactory(endpoint=EndpointFactory(tenant=tenant))
    apply(endpoint_data())
    by_hand.refresh_from_db()
    assert by_hand.active
    assert by_hand.endpoint.state == EndpointState.ENABLED


@pytest.mark.django_db
def test_command_changes_nothing_when_one_field_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "subscriptions.yaml"
    file.write_text(yaml.safe_dump(file_data(endpoint_data(url="https://ok.example.com"), endpoint_data(slug="X"))))
    with pytest.raises(CommandError, match=r"(?s)nothing was changed:.*line 9, tenants\[0\]\.endpoints\[1\]\.slug: "):
        call_command("sync_subscriptions", file=file)
    assert not Tenant.objects.exists()


@pytest.mark.django_db
def test_command_says_so_when_the_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.yaml"):
        call_command("sync_subscriptions", file=tmp_path / "none.yaml")


def demo(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("DEMO_RECEIVER_URL", "http://127.0.0.1:9000")
    call_command("sync_subscriptions", stdout=StringIO())
    out = StringIO()
    call_command("load_demo", "--json", stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    return dict(json.loads(lines[0]))


@pytest.mark.django_db
def test_demo_prints_what_opens_everything_and_keeps_its_key(
    monkeypatch: pytest.MonkeyPatch, django_user_model: Any
) -> None:
    first, second = demo(monkeypatch), demo(monkeypatch)
    user = django_user_model.objects.get(username="ops")
    assert user.check_password(second["console_password"])
    assert first["console_password"] != second["console_password"]
    assert first["api_key"] != second["api_key"]
    renewed = {"console_password": "", "api_key": ""}
    assert first | renewed == second | renewed
    assert PublishKey.objects.get(key_id=first["publish_key_id"]).tenant.slug == "artisan-cloud"
    assert set(first["receiver_secrets"]) == {"/ci-cd", "/inventory", "/pagerduty-bridge", "/release-hub"}
    assert all(secret.startswith("whsec_") for group in first["receiver_secrets"].values() for secret in group)


@pytest.mark.django_db
def test_demo_keeps_the_password_when_it_is_given(monkeypatch: pytest.MonkeyPatch, django_user_model: Any) -> None:
    monkeypatch.setenv("DEMO_CONSOLE_PASSWORD", "calm-night-shift")
    assert demo(monkeypatch)["console_password"] == "calm-night-shift"
    hashed = django_user_model.objects.get(username="ops").password
    demo(monkeypatch)
    assert django_user_model.objects.get(username="ops").password == hashed


@pytest.mark.django_db
def test_demo_refuses_when_in_production(settings: Any, django_user_model: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="does not run in production"):
        call_command("load_demo", "--json")
    assert not django_user_model.objects.exists()


@pytest.mark.django_db
def test_demo_says_what_to_do_when_subscriptions_are_not_synced() -> None:
    with pytest.raises(CommandError, match="sync_subscriptions first"):
        call_command("load_demo", "--json")
