from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from delivery.alerts import raise_alert
from delivery.models import AlertSeverity, Breaker, BreakerState
from eventcenter.access.roles import Role
from subscriptions.models import Endpoint
from tests.factories import EndpointFactory, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = reverse("admin:delivery_breaker_changelist")
ADD = reverse("admin:delivery_breaker_add")
ALERTS = reverse("admin:delivery_alert_changelist")


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


def failing(endpoint: Endpoint, **values: Any) -> Breaker:
    given = {
        "state": "open",
        "reason": "It broke.",
        "next_probe_at": timezone.now() + timedelta(hours=1),
        "openings": 1,
    }
    return Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, **(given | values))


def act(client: Client, action: str, *rows: Breaker) -> str:
    response = client.post(LIST, {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True)
    assert response.status_code == 200
    return " ".join(str(message) for message in response.context["messages"])


def actions() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("id").values_list("action", "actor"))


def test_list_shows_endpoints_by_name_with_state_and_reason(ops: Client, django_assert_max_num_queries: Any) -> None:
    endpoint = EndpointFactory(slug="ci-cd")
    failing(endpoint)
    with django_assert_max_num_queries(12) as one:
        page = ops.get(LIST).content.decode()
    assert all(text in page for text in ("ci-cd", endpoint.tenant.slug, "It broke.", "Open"))

    for _ in range(9):
        failing(EndpointFactory())
    with django_assert_max_num_queries(len(one.captured_queries)):
        assert ops.get(LIST).status_code == 200
    page = ops.get(LIST, {"q": "ci-cd"}).content.decode()
    assert "1 breaker" in page


def test_row_of_a_deleted_endpoint_is_shown(ops: Client) -> None:
    row = Breaker.objects.create(endpoint_id=2**40, tenant_id=1)

    assert ops.get(LIST).status_code == 200
    detail = ops.get(reverse("admin:delivery_breaker_change", args=[row.pk]))
    assert detail.status_code == 200
    assert b'name="state"' not in detail.content
    assert "0 closed" in act(ops, "close_selected", row)


def test_breaker_of_a_healthy_endpoint_is_opened_when_the_form_says_so(ops: Client) -> None:
    endpoint = EndpointFactory()
    assert ops.get(ADD).status_code == 200
    assert ops.post(ADD, {"endpoint": endpoint.pk, "why": ""}).context["adminform"].form.errors
    assert not Breaker.objects.exists()

    response = ops.post(ADD, {"endpoint": endpoint.pk, "why": "maintenance"})

    assert response.status_code == 302
    row = Breaker.objects.get()
    assert (row.pk, row.tenant_id, row.state, row.by_hand) == (endpoint.pk, endpoint.tenant_id, "open", True)
    assert row.reason == "maintenance"
    assert actions() == [("breaker.opened", "user:eva")]
    again = ops.post(ADD, {"endpoint": endpoint.pk, "why": "another"}, follow=True)
    assert "open by hand already" in again.content.decode()
    assert Breaker.objects.get().reason == "maintenance"


@pytest.mark.parametrize(
    ("action", "state", "entry"),
    [
        ("open_selected", BreakerState.OPEN, "breaker.opened"),
        ("close_selected", BreakerState.CLOSED, "breaker.closed"),
        ("probe_selected", BreakerState.OPEN, "breaker.probe_asked"),
        ("end_hold_selected", BreakerState.OPEN, "breaker.hold_ended"),
    ],
)
def test_selected_ones_alone_change_when_an_action_is_run(
    ops: Client, action: str, state: BreakerState, entry: str
) -> None:
    hold_until = timezone.now() + timedelta(hours=2)
    row, other = (failing(EndpointFactory(), hold_until=hold_until) for _ in range(2))
    before = Breaker.objects.values().get(pk=other.pk)

    assert act(ops, action, row).startswith("1 ")

    row.refresh_from_db()
    assert row.state == state
    assert row.by_hand == (action == "open_selected")
    assert (row.hold_until is None) == (action == "end_hold_selected")
    assert actions() == [(entry, "user:eva")]
    assert Breaker.objects.values().get(pk=other.pk) == before


def test_nothing_can_be_changed_when_the_user_may_only_look(client: Client) -> None:
    """She operates one tenant and looks at another's."""
    row = failing(seen := EndpointFactory())
    own = EndpointFactory()
    client.force_login(UserFactory(roles=((seen.tenant, Role.VIEWER), (own.tenant, Role.OPERATOR))))

    assert seen.slug in client.get(LIST).content.decode()
    client.post(LIST, {"action": "close_selected", "_selected_action": [row.pk]}, follow=True)
    assert client.post(ADD, {"endpoint": seen.pk, "why": "mine now"}).status_code == 200

    row.refresh_from_db()
    assert row.state == BreakerState.OPEN
    assert not row.by_hand
    assert not AuditEntry.objects.exists()
    assert client.post(ADD, {"endpoint": own.pk, "why": "ours"}).status_code == 302


def test_nobody_edits_or_deletes_a_row_by_form(ops: Client) -> None:
    row = failing(EndpointFactory())

    assert ops.post(reverse("admin:delivery_breaker_change", args=[row.pk]), {"state": "closed"}).status_code == 403
    assert ops.post(reverse("admin:delivery_breaker_delete", args=[row.pk]), {"post": "yes"}).status_code == 403

    row.refresh_from_db()
    assert row.state == BreakerState.OPEN


def test_alerts_are_listed_and_cannot_be_changed(ops: Client, django_assert_max_num_queries: Any) -> None:
    endpoint = EndpointFactory(slug="ci-cd")

    def alert(number: int) -> None:
        about = {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk}
        now = timezone.now()
        raise_alert("endpoint.failing", f"k{number}", AlertSeverity.WARNING, f"Broken {number}.", now, **about)

    alert(1)
    with django_assert_max_num_queries(12) as one:
        page = ops.get(ALERTS).content.decode()
    assert all(text in page for text in ("Broken 1.", "ci-cd", endpoint.tenant.slug))
    for number in range(2, 9):
        alert(number)
    with django_assert_max_num_queries(len(one.captured_queries)):
        ops.get(ALERTS)
    assert ops.get(reverse("admin:delivery_alert_add")).status_code == 403
