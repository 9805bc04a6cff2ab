"""Every page of the admin that can change something leaves an entry. New pages are found by themselves."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse

from audit.models import AuditEntry
from delivery.models import AlertContact, AlertRule
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role
from eventcenter.models import Adapter, FeatureFlag, PublishKey
from subscriptions.models import Endpoint, Subscription, Tenant
from tests.admin.rows import alert_contact, alert_rule
from tests.factories import (
    PASSWORD,
    AdapterFactory,
    EndpointFactory,
    PublishKeyFactory,
    SubscriptionFactory,
    SuperuserFactory,
    TenantFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another correct horse battery"
MAKERS: dict[type[Model], Callable[[], Model]] = {
    User: UserFactory,
    Group: lambda: Group.objects.create(name="ops"),
    Tenant: TenantFactory,
    Endpoint: EndpointFactory,
    Subscription: SubscriptionFactory,
    PublishKey: PublishKeyFactory,
    Adapter: AdapterFactory,
    AlertRule: alert_rule,
    AlertContact: alert_contact,
    Membership: lambda: Membership.objects.get(user=UserFactory(roles=[(TenantFactory(), Role.VIEWER)])),
    FeatureFlag: lambda: FeatureFlag.objects.get(name="audit-streaming"),
}


def request_of_a_superuser() -> Any:
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True)
    return request


def pages(permission: str) -> list[type[Model]]:
    request = request_of_a_superuser()
    found = admin.site._registry.items()
    return [model for model, page in found if getattr(page, f"has_{permission}_permission")(request)]


@pytest.fixture
def eva(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


def page_of(row: Model, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def filled_in(response: Any) -> dict[str, Any]:
    """What the browser would send back if nobody typed anything."""
    form = response.context["adminform"].form
    sent: dict[str, Any] = {}
    for name, field in form.fields.items():
        value = form[name].value()
        if isinstance(field.widget, forms.MultiWidget):
            parts = field.widget.decompress(value)
            sent |= {f"{name}_{index}": str(part) for index, part in enumerate(parts) if part is not None}
            if field.show_hidden_initial:
                sent |= {f"initial-{key}": text for key, text in sent.items() if key.startswith(f"{name}_")}
        else:
            sent[name] = value
    for formset in response.context["inline_admin_formsets"]:
        management = formset.formset.management_form
        sent |= {management.add_prefix(name): management[name].value() for name in management.fields}
    return {name: value for name, value in sent.items() if value is not None and value is not False}


def changed(form: forms.BaseForm, sent: dict[str, Any]) -> dict[str, Any]:
    """One field another: a box is ticked or cleared, else a text is longer."""
    for name, field in form.fields.items():
        if type(field) is forms.BooleanField and not field.disabled:
            return {key: value for key, value in sent.items() if key != name} | ({} if name in sent else {name: "on"})
    for name in ("name", "note"):
        if name in form.fields:
            return sent | {name: f"{sent.get(name, '')} changed"}
    raise AssertionError("no field of this page that the test knows how to change")


@pytest.mark.parametrize("model", pages("change"), ids=lambda model: model._meta.label)
def test_entry_is_written_when_a_page_of_the_admin_changes_something(eva: Client, model: type[Model]) -> None:
    assert model in MAKERS, f"say in MAKERS how a {model._meta.label} is made"
    row = MAKERS[model]()
    before = AuditEntry.objects.count()
    response = eva.get(page_of(row))
    sent = changed(response.context["adminform"].form, filled_in(response))

    answer = eva.post(page_of(row), sent)

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert AuditEntry.objects.count() == before + 1
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor, entry.address, entry.action.split(".")[1]) == ("user:eva", "127.0.0.1", "changed")
    assert entry.details["fields"]


@pytest.mark.parametrize("model", pages("delete"), ids=lambda model: model._meta.label)
def test_entry_is_written_when_a_page_of_the_admin_deletes_something(eva: Client, model: type[Model]) -> None:
    assert model in MAKERS, f"say in MAKERS how a {model._meta.label} is made"
    row = MAKERS[model]()
    before = AuditEntry.objects.count()

    eva.post(page_of(row, "delete"), {"post": "yes"})

    assert not model._default_manager.filter(pk=row.pk).exists()
    assert AuditEntry.objects.count() == before + 1
    assert AuditEntry.objects.latest("pk").actor == "user:eva"


def test_groups_are_named_before_and_after_when_a_user_gets_one(eva: Client) -> None:
    user, group = UserFactory(username="bob"), Group.objects.create(name="ops")
    sent = filled_in(eva.get(page_of(user)))

    eva.post(page_of(user), sent | {"groups": [group.pk]})

    entry = AuditEntry.objects.latest("pk")
    assert (entry.chain, entry.action, entry.target) == ("platform", "user.changed", f"user:{user.pk}")
    assert entry.details == {"groups": [[], ["ops"]], "fields": ["groups"]}


def test_permissions_are_named_when_a_group_gets_one(eva: Client) -> None:
    group, permission = Group.objects.create(name="ops"), Permission.objects.get(codename="change_endpoint")

    eva.post(page_of(group), {"name": "ops", "permissions": [permission.pk]})

    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.details["permissions"]) == ("group.changed", [[], [str(permission)]])


def test_user_is_in_the_trail_without_the_password_when_one_is_made(eva: Client) -> None:
    sent = {"username": "bob", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}

    assert eva.post(reverse("admin:auth_user_add"), sent).status_code == 302

    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.details["username"]) == ("user.created", [None, "bob"])
    assert NEW_PASSWORD not in str(entry.details)


def test_entry_is_written_when_somebody_sets_anothers_password(eva: Client) -> None:
    user = UserFactory()
    path = reverse("admin:auth_user_password_change", args=[user.pk])

    eva.post(path, {"password1": NEW_PASSWORD, "password2": "not the same", "usable_password": "true"})
    assert not AuditEntry.objects.exists()
    eva.post(path, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"})

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.target) == ("user:eva", "user.password_set", f"user:{user.pk}")
    assert NEW_PASSWORD not in str(entry.details)


def test_entry_is_written_when_somebody_sets_their_own_password(eva: Client) -> None:
    path = reverse("admin:password_change")
    assert "Password change" in eva.get(path).content.decode()

    eva.post(path, {"old_password": "wrong", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})
    assert not AuditEntry.objects.exists()
    eva.post(path, {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD})

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.address) == ("user:eva", "user.password_set", "127.0.0.1")
    assert User.objects.get(username="eva").check_password(NEW_PASSWORD)


def test_entry_is_written_when_a_user_is_made_at_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", NEW_PASSWORD)

    call_command(
        "createsuperuser", "--noinput", "--username", "bob", "--email", "bob@example.com", stdout=io.StringIO()
    )

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action) == ("system:createsuperuser", "user.created")
    assert entry.details == {"username": "bob", "is_superuser": True}


def test_entry_is_written_when_a_password_is_set_at_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    user = UserFactory(username="bob")
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW_PASSWORD)

    call_command("changepassword", "bob", stdout=io.StringIO())

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.target) == (
        "system:changepassword",
        "user.password_set",
        f"user:{user.pk}",
    )
