"""Of each signing key somebody is reminded once at 30, 7 and 1 days before it is due, and once when it is overdue."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from audit.trail import Actor
from config.celery import app
from delivery.models import Alert
from delivery.signing_keys.key import DUE_TYPE
from delivery.signing_keys.remind import remind, resolve_rotated
from delivery.tasks import remind_signing_keys
from eventcenter.access.roles import Role
from eventcenter.envelope import Envelope, parse_structured
from eventcenter.models import IdempotencyKey, OutboxMessage, PublishKey
from eventcenter.publish_keys import rotate_publish_key
from eventcenter.schemas import SchemaSet, load_schemas
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Tenant
from subscriptions.services import disable, revoke_secret, rotate_secret
from tests.factories import (
    EndpointFactory,
    EndpointSecretFactory,
    PublishKeyFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
MADE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EVA = Actor("user:eva")
SCHEMAS = SchemaSet(load_schemas(Path(__file__).parents[3] / "config" / "events" / "schemas"))


def day(number: float) -> datetime:
    """So many days after the key was made; it is due after 365."""
    return MADE + timedelta(days=number)


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def secret(acme: Tenant) -> EndpointSecret:
    return EndpointSecretFactory(endpoint__tenant=acme, endpoint__slug="ci-cd", created_at=MADE)


@pytest.fixture
def publish_key(acme: Tenant) -> PublishKey:
    return PublishKeyFactory(tenant=acme, key_id="pk_ci", secret_created_at=MADE)


def events() -> list[Envelope]:
    """What waits in the outbox, oldest first, but for the alerts' own events; each is right by its schema."""
    found = [parse_structured(bytes(row.body)) for row in OutboxMessage.objects.order_by("id")]
    for envelope in found:
        assert SCHEMAS.problems(envelope.type, None, envelope.datacontenttype, envelope.data, envelope.tenant) == []
    return [envelope for envelope in found if not envelope.type.startswith("ops.alert.")]


def steps() -> list[int]:
    return [json.loads(envelope.data)["step_days"] for envelope in events()]


def open_alerts() -> list[tuple[str, str]]:
    return list(Alert.objects.filter(resolved_at=None).order_by("id").values_list("severity", "summary"))


def test_each_step_is_said_once_when_the_clock_goes_on_by_the_hour(secret: EndpointSecret) -> None:
    said = []
    for hour in range(24 * 330, 24 * 370):
        if remind(day(hour / 24)):
            said.append(hour / 24)

    assert said == [335, 358, 364, 365]
    assert steps() == [30, 7, 1, 0]
    assert AuditEntry.objects.filter(action=DUE_TYPE, chain="acme").count() == 4


def test_subscribers_ops_and_the_trail_are_told_when_an_endpoints_secret_is_due(secret: EndpointSecret) -> None:
    assert remind(day(358.5)) == 1

    (event,) = events()
    assert (event.type, event.tenant, event.subject) == (DUE_TYPE, "acme", "ci-cd")
    data = json.loads(event.data)
    assert (data["kind"], data["due_at"], data["days_left"]) == ("endpoint", "2027-01-01T12:00:00Z", 6)
    assert not data["overdue"]
    assert open_alerts() == [("warning", "The signing secret of acme/ci-cd is due in 6 days: rotate it.")]
    alert = Alert.objects.get()
    assert (alert.kind, alert.tenant_id, alert.endpoint_id) == (
        DUE_TYPE,
        secret.endpoint.tenant_id,
        secret.endpoint_id,
    )
    entry = AuditEntry.objects.get(action=DUE_TYPE)
    assert (entry.target, entry.actor) == (f"endpoint:{secret.endpoint_id}", "system:signing-keys")


def test_publish_key_is_reminded_of_like_an_endpoint_when_it_is_due(publish_key: PublishKey) -> None:
    assert remind(day(364.5)) == 1

    (event,) = events()
    assert (event.subject, json.loads(event.data)["kind"]) == ("pk_ci", "publish_key")
    assert open_alerts() == [("critical", "The secret of publish key acme/pk_ci is due in less than a day: rotate it.")]
    assert AuditEntry.objects.get(action=DUE_TYPE).target == "publish_key:pk_ci"


def test_only_the_nearest_step_is_said_when_nothing_ran_for_long(secret: EndpointSecret) -> None:
    assert remind(day(400)) == 1
    assert steps() == [0]
    assert open_alerts() == [("critical", "The signing secret of acme/ci-cd is overdue by 35 days: rotate it.")]


def test_one_alert_stays_open_and_grows_when_steps_follow(secret: EndpointSecret) -> None:
    for number in (335, 358, 364, 365):
        remind(day(number))
    alert = Alert.objects.get()
    assert (alert.severity, alert.raised_at, alert.last_at) == ("critical", day(335), day(365))


def test_alert_is_resolved_and_the_new_secret_is_young_when_it_was_rotated(secret: EndpointSecret) -> None:
    remind(day(364))
    rotate_secret(secret.endpoint, EVA)

    resolve_rotated(day(364.1))

    assert open_alerts() == []
    EndpointSecret.objects.filter(expires_at=None).update(created_at=day(364))
    assert remind(day(365)) == 0
    assert remind(day(364 + 335)) == 1
    assert len(open_alerts()) == 1


def test_alert_is_resolved_when_the_publish_key_was_rotated_and_comes_anew_a_year_later(
    publish_key: PublishKey,
) -> None:
    remind(day(364))
    rotate_publish_key(publish_key, EVA)
    resolve_rotated(day(364.1))
    assert open_alerts() == []

    PublishKey.objects.update(secret_created_at=day(364))
    assert remind(day(365)) == 0
    assert remind(day(364 + 358)) == 1
    assert Alert.objects.count() == 2


@pytest.mark.parametrize(
    "end",
    [
        lambda endpoint: disable(endpoint, EVA, "moved"),
        lambda endpoint: Tenant.objects.update(active=False),
        lambda endpoint: endpoint.delete(),
    ],
    ids=["disabled", "tenant inactive", "deleted"],
)
def test_nobody_is_reminded_any_more_when_the_key_signs_for_nobody(secret: EndpointSecret, end: Any) -> None:
    remind(day(335))
    end(secret.endpoint)
    assert remind(day(365)) == 0
    assert open_alerts() == []
    assert steps() == [30]


@pytest.mark.parametrize("state", [EndpointState.ENABLED, EndpointState.PAUSED])
def test_endpoint_is_reminded_of_when_it_is_enabled_or_paused(secret: EndpointSecret, state: EndpointState) -> None:
    Endpoint.objects.update(state=state)
    assert remind(day(365)) == 1


def test_secret_that_ends_anyway_is_not_reminded_of(secret: EndpointSecret) -> None:
    EndpointSecretFactory(endpoint=secret.endpoint)
    revoke_secret(secret.endpoint, secret.pk, EVA)
    EndpointSecretFactory(endpoint=secret.endpoint, created_at=MADE, expires_at=timezone.now() + timedelta(hours=1))
    assert remind(day(365)) == 0


def test_endpoints_own_days_count_when_it_has_some(secret: EndpointSecret) -> None:
    Endpoint.objects.update(rotate_every_days=90)
    assert remind(day(59.9)) == 0
    assert remind(day(60)) == 1
    assert remind(day(83)) == 1


def test_setting_counts_when_an_endpoint_has_no_days_of_its_own(settings: Settings, secret: EndpointSecret) -> None:
    settings.SIGNING_KEY_ROTATE_DAYS = 100
    assert remind(day(70)) == 1


def test_reminder_is_taken_back_when_the_endpoint_gets_more_time(secret: EndpointSecret) -> None:
    remind(day(364))
    Endpoint.objects.update(rotate_every_days=730)
    assert remind(day(365)) == 0
    assert open_alerts() == []
    assert EndpointSecret.objects.get().reminded_days is None
    assert remind(day(700)) == 1
    assert steps() == [1, 30]


def test_everything_is_undone_when_the_transaction_fails(
    secret: EndpointSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in the middle has said nothing; the next run says it."""
    with monkeypatch.context() as patch:
        patch.setattr("delivery.signing_keys.remind.keep", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remind(day(365))
    assert events() == open_alerts() == []
    assert EndpointSecret.objects.get().reminded_days is None
    assert remind(day(365)) == 1


@pytest.mark.django_db(transaction=True)
def test_one_reminder_is_given_when_several_look_at_once(secret: EndpointSecret) -> None:
    start = threading.Barrier(3)

    def work() -> int:
        start.wait(10)
        try:
            return remind(day(365))
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        said = [done.result(20) for done in [pool.submit(work) for _ in range(3)]]

    assert sorted(said) == [0, 0, 1]
    # The outbox row goes with Kafka's acknowledgement; its key stays: the reminder's, and its alert's.
    assert (IdempotencyKey.objects.count(), Alert.objects.count()) == (2, 1)
    assert sorted(AuditEntry.objects.values_list("action", flat=True)) == ["alert.raised", DUE_TYPE]


@pytest.mark.django_db(transaction=True)
def test_it_is_run_by_the_hourly_upkeep(secret: EndpointSecret) -> None:
    EndpointSecret.objects.update(created_at=timezone.now() - timedelta(days=400))
    assert app.conf.beat_schedule["remind-signing-keys"]["task"] == remind_signing_keys.name
    remind_signing_keys()
    assert (IdempotencyKey.objects.count(), Alert.objects.count()) == (2, 1)


def banner(client: Client) -> str:
    page = client.get(reverse("replays"))
    assert page.status_code == 200
    _, found, rest = page.content.decode().partition('<div class="due-keys"')
    return rest.partition("</div>")[0] if found else ""


@pytest.fixture
def due(secret: EndpointSecret, publish_key: PublishKey) -> None:
    now = timezone.now()
    EndpointSecret.objects.update(created_at=now - timedelta(days=400))
    PublishKey.objects.update(secret_created_at=now - timedelta(days=360, hours=1))
    remind(now)


def test_console_names_due_keys_with_links_when_somebody_may_rotate_them(
    client: Client, due: None, secret: EndpointSecret, publish_key: PublishKey
) -> None:
    client.force_login(SuperuserFactory())
    text = banner(client)
    assert text.index("acme/ci-cd</a> overdue by 35 days") < text.index("acme/pk_ci</a> due in 4 days")
    assert reverse("admin:subscriptions_endpoint_change", args=[secret.endpoint_id]) in text
    assert reverse("admin:eventcenter_publishkey_change", args=[publish_key.pk]) in text


def test_banner_goes_at_once_when_the_keys_were_rotated(
    client: Client, due: None, secret: EndpointSecret, publish_key: PublishKey
) -> None:
    client.force_login(SuperuserFactory())
    rotate_secret(secret.endpoint, EVA)
    rotate_publish_key(publish_key, EVA)
    assert banner(client) == ""


@pytest.mark.parametrize(("role", "shown"), [(Role.TENANT_ADMIN, True), (Role.OPERATOR, False), (Role.VIEWER, False)])
def test_banner_is_for_those_who_may_rotate(client: Client, due: None, role: Role, shown: bool) -> None:
    client.force_login(UserFactory(roles=[(Tenant.objects.get(slug="acme"), role)]))
    assert ("acme/ci-cd" in banner(client)) == shown


def test_banner_names_no_key_of_another_tenant(client: Client, due: None) -> None:
    client.force_login(UserFactory(roles=[(TenantFactory(), Role.TENANT_ADMIN)]))
    assert banner(client) == ""


def test_banner_is_short_when_many_are_due(client: Client, django_assert_max_num_queries: Any) -> None:
    now = timezone.now()
    for _ in range(9):
        EndpointSecretFactory(endpoint=EndpointFactory(), created_at=now - timedelta(days=400))
    remind(now)
    client.force_login(SuperuserFactory())
    with django_assert_max_num_queries(12):
        text = banner(client)
    assert text.count("<a ") == 5
    assert "and 4 more" in text
