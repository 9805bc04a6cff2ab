"""`manage.py rotate_encryption_key`: everything comes under the first key, nothing is lost, and it says what can go."""

from __future__ import annotations

import ast
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import models
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.alerting.contacts import seal_routing_key
from delivery.models import AlertContact
from eventcenter import data_keys, key_rotation
from eventcenter.adapters.services import rotate_secret as rotate_adapter_secret
from eventcenter.crypto import UnsealError, master_of, sealed_by, unseal
from eventcenter.key_rotation import BATCH, rotate
from eventcenter.models import DataKey, PublishKey
from eventcenter.publish_keys import rotate_publish_key, verifying_secrets
from eventcenter.sealed_columns import check_sealed_columns, sealed_columns
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Endpoint, EndpointSecret
from subscriptions.routing import open_credentials, open_headers
from subscriptions.services import seal_credentials, seal_headers
from tests.eventcenter.sealing import seal_directly
from tests.factories import AdapterFactory, EndpointFactory, EndpointSecretFactory, PublishKeyFactory

pytestmark = pytest.mark.django_db
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
FIRST = generate_secret()
ROOT = Path(__file__).parents[2]
APPS = ("audit", "config", "delivery", "eventcenter", "subscriptions")
# BinaryFields that hold no secret.
OPEN_COLUMNS = {
    "audit.AuditEntry.previous",
    "audit.AuditEntry.digest",
    "audit.AuditHead.digest",
    "audit.AuditHead.signature",
    "delivery.Attempt.response_body",
    "eventcenter.ApiKey.digest",
    "eventcenter.DataKey.wrapped",
    "eventcenter.Event.body",
    "eventcenter.OutboxMessage.body",
    "eventcenter.RejectedEvent.key",
    "eventcenter.RejectedEvent.value",
}


def run(*flags: str) -> str:
    out = StringIO()
    call_command("rotate_encryption_key", *flags, stdout=out)
    return out.getvalue()


def put_first(settings: Settings, *keys: tuple[str, bytes]) -> None:
    """As a restart with other ENCRYPTION_KEYS."""
    settings.ENCRYPTION_KEYS = keys
    data_keys.forget()


@pytest.fixture
def values(settings: Settings) -> dict[str, str]:
    """One value in every sealed column, half of them from before data keys; column → what is sealed in it."""
    put_first(settings, OLD)
    secret = EndpointSecretFactory(secret="whsec_endpoint")
    Endpoint.objects.update(
        sealed_headers=seal_headers([("x-key", "header")]), sealed_credentials=seal_credentials({"token": "credential"})
    )
    key = PublishKeyFactory(secret=FIRST)
    rotate_publish_key(key, Actor("system:test"))
    rotate_adapter_secret(AdapterFactory(), Actor("system:test"))
    AlertContact.objects.create(
        name="On call", channel="pagerduty", sealed_routing_key=seal_routing_key("R0123456789abcdef0123456789abcde")
    )
    EndpointSecret.objects.filter(pk=secret.pk).update(sealed_secret=seal_directly("whsec_endpoint", "endpoint-secret"))
    PublishKey.objects.update(sealed_previous_secret=seal_directly(FIRST, "publish-secret"))
    return opened()


def opened() -> dict[str, str]:
    found = {}
    for column in sealed_columns():
        for pk, value in column.model._base_manager.values_list("pk", column.name):
            if value is not None:
                found[f"{column} {pk}"] = unseal(value, column.purpose)
    return found


def test_every_sealed_column_has_a_value_here_when_rotation_is_tested(values: dict[str, str]) -> None:
    """A new sealed column fails this test until the fixture above fills it."""
    assert sorted(name.split(" ")[0] for name in values) == sorted(map(str, sealed_columns()))


def test_no_binary_column_is_forgotten_when_models_are_searched() -> None:
    ours = [model for model in apps.get_models() if model._meta.app_label in APPS]
    binary = {
        f"{model._meta.label}.{field.name}"
        for model in ours
        for field in model._meta.concrete_fields
        if isinstance(field, models.BinaryField)
    }
    assert binary == OPEN_COLUMNS | set(map(str, sealed_columns()))


def test_every_purpose_is_a_sealed_columns_when_the_code_seals() -> None:
    """What is sealed for a purpose that no column has would be forgotten: seal() is called with MODEL.X_PURPOSE only."""
    purposes = {f"{column.model.__name__}.{column.name[7:].upper()}_PURPOSE" for column in sealed_columns()}
    sealing: list[str] = []
    for path in (path for app in APPS for path in (ROOT / app).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "seal":
                sealing.append(ast.unparse(node.args[1]))
    assert len(sealing) > 5
    assert set(sealing) - purposes == {"column.purpose"}


def test_check_names_a_sealed_column_when_its_purpose_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_sealed_columns(None) == []
    monkeypatch.delattr(Endpoint, "HEADERS_PURPOSE")
    (problem,) = check_sealed_columns(None)
    assert "HEADERS_PURPOSE" in problem.msg


def test_old_master_can_go_when_the_command_has_run(settings: Settings, values: dict[str, str]) -> None:
    put_first(settings, NEW, OLD)

    said = run()

    assert "1 data keys rewrapped, 2 values sealed anew" in said
    assert "take out of ENCRYPTION_KEYS: old" in said
    put_first(settings, NEW)
    assert opened() == values
    assert set(DataKey.objects.values_list("master_key_id", flat=True)) == {"new"}
    endpoint = Endpoint.objects.get()
    assert (open_headers(endpoint), open_credentials(endpoint)) == ((("x-key", "header"),), {"token": "credential"})
    entry = AuditEntry.objects.get(action="encryption_key.rotated")
    assert (entry.chain, entry.actor, entry.details["removable"]) == (
        "platform",
        "system:rotate_encryption_key",
        ["old"],
    )


def test_nothing_is_written_when_it_is_a_dry_run(settings: Settings, values: dict[str, str]) -> None:
    put_first(settings, NEW, OLD)
    before = list(DataKey.objects.values()), AuditEntry.objects.count()

    said = run("--dry-run", "--new-data-key")

    assert "1 data keys to be rewrapped, 8 values to be sealed anew" in said
    assert "master key old: needed by 3" in said
    assert "dry run: nothing was written" in said
    assert "take out" not in said
    assert (list(DataKey.objects.values()), AuditEntry.objects.count()) == before
    assert opened() == values


def test_nothing_is_left_to_do_when_it_is_run_again(settings: Settings, values: dict[str, str]) -> None:
    put_first(settings, NEW, OLD)
    run()
    assert "0 data keys rewrapped, 0 values sealed anew" in run()


def test_every_value_comes_under_the_new_data_key_when_one_is_asked_for(values: dict[str, str]) -> None:
    said = run("--new-data-key")

    newest = DataKey.objects.get(retired_at=None)
    assert f"new data key: {newest.pk}" in said
    assert {sealed_by(value) for column in sealed_columns() for value in held(column.model, column.name)} == {newest.pk}
    assert opened() == values
    assert AuditEntry.objects.filter(action="data_key.replaced", target=f"data_key:{newest.pk}").exists()


def held(model: type[models.Model], name: str) -> list[bytes]:
    return [bytes(value) for value in model._base_manager.values_list(name, flat=True) if value is not None]


def test_interrupted_run_is_taken_up_when_it_is_run_again(
    values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(key_rotation, "BATCH", 1)
        with pytest.raises(KeyboardInterrupt):
            rotate(Actor("system:test"), stop_after(3), dry_run=False, new_data_key=True)
    half = {sealed_by(value) for column in sealed_columns() for value in held(column.model, column.name)}
    assert len(half) > 1
    assert opened() == values

    run("--reencrypt")

    assert DataKey.objects.filter(retired_at=None).count() == 1
    assert {sealed_by(value) for column in sealed_columns() for value in held(column.model, column.name)} == {
        DataKey.objects.get(retired_at=None).pk
    }
    assert opened() == values


def stop_after(calls: int) -> key_rotation.Say:
    left = iter(range(calls - 1))

    def say(_: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return say


def test_change_of_somebody_else_stands_when_it_comes_between(settings: Settings, values: dict[str, str]) -> None:
    """The command has read the old value when an admin's new one is committed: it is not overwritten."""
    put_first(settings, NEW, OLD)
    (column,) = [column for column in sealed_columns() if column.model is EndpointSecret]
    (row,) = EndpointSecret.objects.all()
    read = bytes(row.sealed_secret)
    EndpointSecret.objects.filter(pk=row.pk).update(sealed_secret=seal_directly("whsec_theirs", "endpoint-secret"))

    report = key_rotation.Report()
    key_rotation._reseal_one(column, row.pk, read, report, dry_run=False)

    assert report.resealed == 0
    row.refresh_from_db()
    assert unseal(row.sealed_secret, column.purpose) == "whsec_theirs"
    run()
    row.refresh_from_db()
    assert master_of(row.sealed_secret) == ""
    assert unseal(row.sealed_secret, column.purpose) == "whsec_theirs"


def test_rest_is_rotated_and_the_lost_named_when_one_value_cannot_be_opened(
    settings: Settings, values: dict[str, str]
) -> None:
    put_first(settings, ("lost", b"l" * 32))
    EndpointSecret.objects.update(sealed_secret=seal_directly("whsec_lost", "endpoint-secret"))
    put_first(settings, NEW, OLD)

    with pytest.raises(
        CommandError, match=r"EndpointSecret.sealed_secret \d+: The encryption key 'lost' is not"
    ) as caught:
        run()

    assert "whsec_" not in str(caught.value)
    put_first(settings, NEW)
    assert verifying_secrets(PublishKey.objects.get(), PublishKey.objects.get().created_at)
    with pytest.raises(UnsealError):
        opened()


def test_every_row_is_visited_when_there_are_more_than_a_batch(settings: Settings) -> None:
    put_first(settings, OLD)
    endpoint = EndpointFactory()
    sealed = seal_directly("whsec_x", "endpoint-secret")
    EndpointSecret.objects.bulk_create(
        [EndpointSecret(endpoint=endpoint, sealed_secret=sealed) for _ in range(2 * BATCH + 1)]
    )
    put_first(settings, NEW, OLD)

    assert f"{2 * BATCH + 1} values sealed anew" in run()

    assert all(sealed_by(value) for value in held(EndpointSecret, "sealed_secret"))


def test_process_that_opened_its_keys_before_goes_on_when_the_master_is_rotated(
    settings: Settings, values: dict[str, str]
) -> None:
    """What one process has opened stays right while another rewraps: the data key itself does not change."""
    opened()
    settings.ENCRYPTION_KEYS = (NEW, OLD)
    run()
    settings.ENCRYPTION_KEYS = (OLD,)  # a process that was not restarted yet

    assert opened() == values
