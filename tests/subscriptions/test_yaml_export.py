"""What export_subscriptions writes, sync_subscriptions reads back without a change; and it holds no secret."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings

from subscriptions.models import AppliedSpec, Endpoint, Subscription, Tenant
from subscriptions.retry_policy import stored_policy
from subscriptions.services import seal_credentials, seal_headers
from subscriptions.yaml_sync import Options, Plan, read, sync
from subscriptions.yaml_sync.export import export
from subscriptions.yaml_sync.stored import with_stored
from tests.factories import EndpointFactory, SubscriptionFactory, TenantFactory
from tests.subscriptions.test_yaml_schema import VALIDATOR
from tests.subscriptions.test_yaml_sync import ACTOR, apply, endpoint_data, file_data
from tests.subscriptions.yaml_documents import ENVIRON, Data, files

SOME = {"HOOKS": ENVIRON["HOOKS"]}
UNCHANGED = "0 added, 0 changed, 0 removed, 3 unchanged"
# Each example is rolled back by itself. It is not shrunk: that would take minutes of database work.
SETTINGS: Any = settings(
    max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def plan_of(data: object, environ: dict[str, str], **options: Any) -> Plan:
    return sync(read(data, with_stored(data, environ)), ACTOR, dry_run=True, options=Options(**options))


@pytest.mark.django_db
@SETTINGS
@given(files())
def test_export_changes_nothing_when_it_is_read_back(data: Data) -> None:
    with transaction.atomic():
        sync(read(data, ENVIRON), ACTOR)
        written = yaml.safe_load(export().text())
        VALIDATOR.validate(written)
        for environ in (ENVIRON, SOME):
            plan = plan_of(written, environ)
            assert (plan.changes, plan.conflicts) == ([], [])
        transaction.set_rollback(True)


@pytest.mark.django_db
@SETTINGS
@given(files())
def test_export_is_the_same_when_it_was_read_into_an_empty_database(data: Data) -> None:
    with transaction.atomic():
        sync(read(data, ENVIRON), ACTOR)
        text = export().text()
        written = yaml.safe_load(text)
        environ = with_stored(written, ENVIRON)
        Tenant.objects.all().delete()
        sync(read(written, environ), ACTOR)
        assert export().text() == text
        transaction.set_rollback(True)


@pytest.mark.django_db
@SETTINGS
@given(files())
def test_export_of_what_no_file_owns_holds_no_secret_and_is_only_taken_over(data: Data) -> None:
    with transaction.atomic():
        sync(read(data, ENVIRON), ACTOR)
        AppliedSpec.objects.all().delete()
        for model in (Endpoint, Subscription):
            model.objects.update(managed_by="")
        text = export().text()
        assert "s3cret" not in text
        assert ENVIRON["KEY"] not in text
        plan = plan_of(yaml.safe_load(text), {}, adopt=True)
        assert {item.name for change in plan.changes for item in change.fields} <= {"owner"}
        assert plan.conflicts == []
        transaction.set_rollback(True)


def exported(*arguments: str) -> str:
    out = StringIO()
    call_command("export_subscriptions", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_export_writes_the_files_own_words() -> None:
    item = {"slug": "releases", "types": ["a.b"], "retry_policy": {"name": "quick", "max_age_s": "30m"}}
    data = endpoint_data(
        name="CI/CD",
        headers={"authorization": "Bearer ${TOKEN}", "x-team": "ops"},
        timeout_s=10,
        rate_limit=200,
        subscriptions=[item],
    )
    apply(data)
    assert (
        exported("--tenant", "acme")
        == """\
# yaml-language-server: $schema=subscriptions.schema.json
# Written by `manage.py export_subscriptions --tenant acme`. Read it back with
#
#   python manage.py sync_subscriptions --file THIS-FILE --tenant acme --dry-run
#
# Objects that no file owns yet need --adopt. Paused and disabled endpoints and inactive tenants are not told apart here.
#
# Secrets are not written. These variables must be set, or --keep-secrets keeps what is stored in their places:
#
#   HOOKS  acme/ci-cd: url
#   TOKEN  acme/ci-cd: headers.authorization
#   ACME_CI_CD_HEADERS_X_TEAM  acme/ci-cd: headers.x-team
version: 1
tenants:
  - slug: acme
    name: Acme
    endpoints:
      - slug: ci-cd
        name: CI/CD
        url: ${HOOKS}/ci-cd
        headers:
          authorization: Bearer ${TOKEN}
          x-team: ${ACME_CI_CD_HEADERS_X_TEAM}
        timeout_s: 10
        rate_limit: 200
        subscriptions:
          - slug: releases
            types:
              - a.b
            retry_policy:
              name: quick
              max_age_s: 1800
"""
    )


@pytest.mark.django_db
def test_command_reads_its_own_export_back_when_no_variable_is_set(tmp_path: Path) -> None:
    apply(endpoint_data(headers={"authorization": "Bearer ${TOKEN}", "x-team": "ops"}))
    file, out = tmp_path / "acme.yaml", StringIO()
    exported("--output", str(file))
    with pytest.raises(CommandError, match=r"line 19, .*\.url: the environment variable HOOKS is not set"):
        call_command("sync_subscriptions", file=file, dry_run=True)
    call_command("sync_subscriptions", file=file, dry_run=True, keep_secrets=True, stdout=out)
    assert out.getvalue().splitlines()[0] == UNCHANGED


@pytest.mark.django_db
def test_kept_secret_is_never_shown_and_a_set_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(endpoint_data(headers={"authorization": "Bearer ${TOKEN}"}))
    file, out = tmp_path / "acme.yaml", StringIO()
    exported("--output", str(file))
    monkeypatch.setenv("TOKEN", "n3w-token")
    call_command("sync_subscriptions", file=file, keep_secrets=True, stdout=out)
    assert out.getvalue().splitlines()[:2] == [
        "~ endpoint acme/ci-cd",
        "    ~ headers.authorization: changed, value not shown",
    ]
    assert "t0ken" not in out.getvalue()
    assert "n3w" not in out.getvalue()


@pytest.mark.django_db
def test_variables_have_names_of_their_own_when_slugs_would_give_the_same() -> None:
    for tenant, slug in (("a-b", "c"), ("a", "b-c"), ("3com", "x")):
        EndpointFactory(tenant=TenantFactory(slug=tenant), slug=slug)
    assert list(export().needed) == ["_3COM_X_URL", "A_B_C_URL", "A_B_C_URL_2"]


@pytest.mark.django_db
def test_url_of_what_no_file_owns_is_written_when_asked_for() -> None:
    EndpointFactory(url="https://hooks.example.com/${NOT_A_VARIABLE}")
    assert "hooks.example.com" not in exported()
    text = exported("--with-urls")
    assert "        url: https://hooks.example.com/$${NOT_A_VARIABLE}\n" in text
    assert "# It needs no variables.\n" in text
    plan = plan_of(yaml.safe_load(text), {}, adopt=True)
    assert {item.name for change in plan.changes for item in change.fields} == {"owner"}


@pytest.mark.django_db
def test_what_the_file_stopped_naming_is_not_exported() -> None:
    apply(endpoint_data(), endpoint_data(slug="other", subscriptions=[{"slug": "others", "types": ["a.b"]}]))
    apply(endpoint_data(subscriptions=[]))
    [tenant] = yaml.safe_load(exported())["tenants"]
    assert [(item["slug"], item.get("subscriptions")) for item in tenant["endpoints"]] == [("ci-cd", None)]


@pytest.mark.django_db
def test_rows_made_by_hand_are_exported_with_their_policies_and_secrets_as_variables() -> None:
    tenant = TenantFactory(slug="acme", name="Acme")
    broker = EndpointFactory(
        tenant=tenant,
        slug="queue",
        channel="amqp",
        url="",
        config={"exchange": "releases", "persistent": True, "routing_key": ""},
        sealed_credentials=seal_credentials({"url": "amqp://ops:s3cret@rabbit.example.com/"}),
    )
    EndpointFactory(tenant=tenant, slug="hook", sealed_headers=seal_headers([("x-key", "s3cret")]))
    SubscriptionFactory(endpoint=broker, slug="a", retry_policy=stored_policy({"schedule_s": [0, "90s"]}))
    SubscriptionFactory(endpoint=broker, slug="b", retry_policy={"max_age_s": 60.5}, active=False)
    text = exported()
    assert "s3cret" not in text
    [hook, queue] = yaml.safe_load(text)["tenants"][0]["endpoints"]
    assert hook["headers"] == {"x-key": "${ACME_HOOK_HEADERS_X_KEY}"}
    assert queue["settings"] == {"exchange": "releases", "url": "${ACME_QUEUE_SETTINGS_URL}"}
    assert [item.get("retry_policy") for item in queue["subscriptions"]] == [
        {"name": "standard", "schedule_s": [0, 90]},
        {"name": "standard", "max_age_s": 60.5},
    ]
    plan = plan_of(yaml.safe_load(text), {}, adopt=True)
    assert {item.name for change in plan.changes for item in change.fields} == {"owner"}


@pytest.mark.django_db
def test_empty_database_is_an_empty_file_that_changes_nothing() -> None:
    assert yaml.safe_load(exported()) == {"version": 1, "tenants": []}
    assert plan_of(yaml.safe_load(exported()), {}).changes == []


@pytest.mark.django_db
def test_command_names_what_is_wrong_when_it_cannot_export(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"There is no tenant 'acme' \(--tenant\)"):
        exported("--tenant", "acme")
    with pytest.raises(CommandError, match="--output: "):
        exported("--output", str(tmp_path / "none" / "file.yaml"))


@pytest.mark.django_db
def test_one_tenants_export_leaves_the_others_alone(tmp_path: Path) -> None:
    data = file_data(endpoint_data(url="https://hooks.example.com/a"))
    data["tenants"].append({"slug": "zeta", "endpoints": [endpoint_data(url="https://hooks.example.com/z")]})
    sync(read(data, {}), ACTOR)
    file, out = tmp_path / "acme.yaml", StringIO()
    exported("--tenant", "acme", "--output", str(file))
    assert "zeta" not in file.read_text()
    call_command("sync_subscriptions", file=file, tenant="acme", stdout=out)
    assert out.getvalue() == f"{UNCHANGED}\n"
    assert Subscription.objects.filter(active=True).count() == 2
