"""The admin's page of alert contacts: whose they are, what they take, and that a key is never shown again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from delivery.alerting.contacts import routing_key_of
from delivery.alerting.incidents import joined, left
from delivery.models import AlertContact, Page
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.alerting.calls import KEY, NOW, make_alert, make_contact, resolve
from tests.factories import TenantFactory, UserFactory
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.smtp import MailServer

pytestmark = pytest.mark.django_db
ADD = "/admin/delivery/alertcontact/add/"
LIST = "/admin/delivery/alertcontact/"
PAGERDUTY = {
    "name": "Ops on call",
    "channel": "pagerduty",
    "routing_key": KEY,
    "least_severity": "critical",
    "enabled": "on",
}
EMAIL = {"name": "Team", "channel": "email", "address": "team@example.com", "least_severity": "info", "enabled": "on"}

SignIn = Callable[..., Client]


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


@pytest.fixture
def sign_in() -> SignIn:
    def as_admin(tenant: Tenant | None = None, role: Role = Role.TENANT_ADMIN) -> Client:
        client = Client()
        client.force_login(UserFactory(roles=((tenant, role),)))
        return client

    return as_admin


def errors_of(client: Client, url: str, values: dict[str, str]) -> dict[str, list[str]]:
    response = client.post(url, values)
    assert response.status_code == 200
    found: dict[str, Any] = response.context["adminform"].form.errors
    return {name: list(said) for name, said in found.items()}


def page_of(contact: AlertContact) -> str:
    return reverse("admin:delivery_alertcontact_change", args=[contact.pk])


def test_key_is_sealed_and_never_shown_again(sign_in: SignIn) -> None:
    admin = sign_in()
    assert admin.post(ADD, PAGERDUTY).status_code == 302
    contact = AlertContact.objects.get()
    assert routing_key_of(contact) == KEY
    assert KEY.encode() not in bytes(contact.sealed_routing_key or b"")
    for url in (LIST, page_of(contact), f"{page_of(contact)[: -len('change/')]}history/"):
        assert KEY not in admin.get(url).content.decode()
    entry = AuditEntry.objects.get(action="contact.created")
    assert entry.chain == "platform"
    assert KEY not in str(entry.details)


def test_key_is_kept_when_it_is_left_empty_and_replaced_when_it_is_not(sign_in: SignIn) -> None:
    admin, contact, other = sign_in(), make_contact(), "S0123456789abcdef0123456789abcde"
    values = {"name": "Renamed", "least_severity": "info", "enabled": "on"}
    assert admin.post(page_of(contact), values).status_code == 302
    contact.refresh_from_db()
    assert (contact.name, routing_key_of(contact)) == ("Renamed", KEY)
    assert admin.post(page_of(contact), values | {"routing_key": other}).status_code == 302
    contact.refresh_from_db()
    assert routing_key_of(contact) == other


def test_contact_is_called_about_what_is_open_when_its_key_is_set_right(sign_in: SignIn) -> None:
    admin, contact = sign_in(), make_contact()
    alerts = [make_alert(tenant_id=1, endpoint_id=number) for number in (1, 2)]
    for alert in alerts:
        joined(alert, NOW)
    Page.objects.update(next_at=None, error="PagerDuty refused the page (400)")
    left(resolve(alerts[0]), NOW)
    values = {"name": "Ops on call", "least_severity": "info"}
    assert admin.post(page_of(contact), values | {"routing_key": KEY}).status_code == 302
    assert not Page.objects.filter(next_at__isnull=False).exists()  # it is switched off
    assert admin.post(page_of(contact), values | {"enabled": "on"}).status_code == 302
    assert Page.objects.get(next_at__isnull=False).incident.cause == "endpoint:2"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (PAGERDUTY | {"routing_key": ""}, "routing_key"),
        (PAGERDUTY | {"routing_key": "short"}, "routing_key"),
        (PAGERDUTY | {"address": "team@example.com"}, "address"),
        (PAGERDUTY | {"name": ""}, "name"),
        (EMAIL | {"address": ""}, "address"),
        (EMAIL | {"address": "a@example.com, b@example.com"}, "address"),
        (EMAIL | {"address": "a@example.com\nBcc: b@example.com"}, "address"),
        (EMAIL | {"routing_key": KEY}, "routing_key"),
        (EMAIL | {"least_severity": "doom"}, "least_severity"),
    ],
)
def test_what_is_wrong_is_named(sign_in: SignIn, mail_server: MailServer, values: dict[str, str], field: str) -> None:
    assert list(errors_of(sign_in(), ADD, values)) == [field]
    assert not AlertContact.objects.exists()


def test_mail_contact_is_refused_when_there_is_no_mail_server(sign_in: SignIn, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    assert "EMAIL_URL" in errors_of(sign_in(), ADD, EMAIL)["address"][0]


def test_tenant_s_admins_make_contacts_of_their_tenant_only(
    sign_in: SignIn, acme: Tenant, mail_server: MailServer
) -> None:
    admin, stranger = sign_in(acme), TenantFactory()
    assert list(errors_of(admin, ADD, EMAIL)) == ["tenant"]
    assert list(errors_of(admin, ADD, EMAIL | {"tenant": str(stranger.pk)})) == ["tenant"]
    assert admin.post(ADD, EMAIL | {"tenant": str(acme.pk)}).status_code == 302

    platform, others = make_contact(), make_contact("Others", tenant=stranger)
    text = admin.get(LIST).content.decode()
    assert "Team" in text
    assert "Ops on call" not in text
    for hidden in (platform, others):
        assert admin.post(page_of(hidden), {"name": "Taken over"}).status_code in (302, 403, 404)
    assert set(AlertContact.objects.values_list("name", flat=True)) == {"Team", "Ops on call", "Others"}
    assert AuditEntry.objects.get(action="contact.created").chain == "acme"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER])
def test_nobody_else_comes_to_the_page(sign_in: SignIn, role: Role) -> None:
    make_contact()
    response = sign_in(None, role).get(LIST, follow=True)
    assert response.status_code in (200, 403)  # 200: the way in, for those who have nothing to do in the admin
    assert "Ops on call" not in response.content.decode()


def test_test_page_is_sent_and_its_answer_shown(sign_in: SignIn, acme: Tenant, pagerduty: PagerDuty) -> None:
    contacts = [make_contact(), make_contact("Plugin team", tenant=acme)]
    pagerduty.answers = [(400, {})]
    ticked = {"action": "test_selected", "_selected_action": [str(contact.pk) for contact in contacts]}
    response = sign_in().post(LIST, ticked)

    said = [str(message) for message in get_messages(response.wsgi_request)]
    assert said == ["Plugin team: PagerDuty refused the page (400)", "Ops on call: PagerDuty took it."]
    assert [action for _, action in pagerduty.events] == ["trigger", "resolve"]
    assert AuditEntry.objects.filter(action="contact.tested").count() == 2

    before = pagerduty.requests
    sign_in(acme).post(LIST, ticked | {"_selected_action": [str(contacts[0].pk)]})
    assert pagerduty.requests == before  # the platform's is not theirs to try
