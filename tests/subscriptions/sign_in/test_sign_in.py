"""The one way in and the one way out, and how long one stays in."""

from __future__ import annotations

import time

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from subscriptions.sign_in.session_age import SEEN_AT, SEEN_STEP_S, SIGNED_IN_AT
from tests.factories import PASSWORD, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db

URL = "/sign-in"


def sign_in(client: Client, username: str = "eva", following: str = "") -> str:
    answer = client.post(URL, {"username": username, "password": PASSWORD, "next": following})
    assert answer.status_code == 302
    return answer.headers["Location"]


def test_sign_in_and_out_are_in_the_trail_and_the_session_key_changes(client: Client) -> None:
    user = UserFactory(username="eva")
    client.session["planted"] = "x"
    planted = client.session.session_key

    sign_in(client)
    assert client.session.session_key != planted
    client.post("/sign-out")

    assert not Session.objects.filter(pk=planted).exists()
    assert list(AuditEntry.objects.order_by("position").values_list("chain", "actor", "action", "actor_user_id")) == [
        ("platform", "user:eva", "sign_in.succeeded", user.pk),
        ("platform", "user:eva", "sign_out", user.pk),
    ]
    assert client.get("/sign-out").status_code == 405


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "///evil.example",
        "javascript:alert(1)",
        "\thttps://evil.example",
        "https:evil.example",
        "http://testserver@evil.example/",
    ],
)
def test_next_page_is_ours_when_another_site_is_asked_for(client: Client, following: str) -> None:
    UserFactory(username="eva")

    assert sign_in(client, following=following) == "/console/"
    assert client.get(URL, {"next": following}).headers["Location"] == "/console/"
    assert client.post("/sign-out", {"next": following}).headers["Location"] == "/sign-in"


@pytest.mark.parametrize("following", ["/sign-in", "/sign-in?next=/sign-in", "http://testserver/sign-in"])
def test_sign_in_leads_on_when_it_is_its_own_next_page(client: Client, following: str) -> None:
    client.force_login(UserFactory())

    assert client.get(URL, {"next": following}).headers["Location"] == "/console/"


def test_admin_has_the_same_sign_in(client: Client) -> None:
    answer = client.get("/admin/subscriptions/tenant/", follow=True)
    assert answer.redirect_chain[-1][0] == "/sign-in?next=/admin/subscriptions/tenant/"
    assert client.post("/admin/login/", {"username": "eva", "password": PASSWORD}).status_code == 405

    SuperuserFactory(username="eva")
    assert sign_in(client, following="/admin/") == "/admin/"
    assert client.get("/admin/").status_code == 200
    client.post("/admin/logout/")
    assert AuditEntry.objects.order_by("position").last().action == "sign_out"
    assert client.get("/admin/").status_code == 302


def test_admin_says_no_when_the_user_has_no_role_that_works_there(client: Client) -> None:
    client.force_login(UserFactory(roles=()))

    answer = client.get("/admin/", follow=True)

    assert answer.status_code == 403
    assert "no right to this page" in answer.content.decode()


def age(client: Client, signed_in_ago: int, seen_ago: int) -> None:
    session = client.session
    session[SIGNED_IN_AT], session[SEEN_AT] = int(time.time()) - signed_in_ago, int(time.time()) - seen_ago
    session.save()


def test_session_ends_when_it_is_too_old(client: Client, settings: Settings) -> None:
    client.force_login(UserFactory())
    age(client, settings.SESSION_MAX_AGE_S - 60, 0)
    assert client.get("/console/deliveries").status_code == 200

    age(client, settings.SESSION_MAX_AGE_S + 1, 0)
    assert client.get("/console/deliveries").headers["Location"].startswith(URL)
    assert not Session.objects.exists()


def test_session_is_prolonged_when_it_is_used_and_not_when_a_page_polls(client: Client, settings: Settings) -> None:
    client.force_login(UserFactory())
    age(client, 7200, SEEN_STEP_S + 60)
    seen = client.session[SEEN_AT]

    client.get("/console/deliveries", headers={"HX-Request": "true", "HX-Target": "live"})
    assert client.session[SEEN_AT] == seen

    answer = client.get("/console/deliveries")
    assert client.session[SEEN_AT] > seen
    assert answer.cookies[settings.SESSION_COOKIE_NAME]["max-age"] == settings.SESSION_COOKIE_AGE
    left = Session.objects.get().expire_date - timezone.now()
    assert settings.SESSION_COOKIE_AGE - 60 < left.total_seconds() <= settings.SESSION_COOKIE_AGE
    assert settings.SESSION_COOKIE_NAME not in client.get("/console/deliveries").cookies  # written once in a while only


def test_form_is_refused_when_it_has_no_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    UserFactory(username="eva")

    answer = strict.post(URL, {"username": "eva", "password": PASSWORD})

    assert answer.status_code == 403
    assert not AuditEntry.objects.exists()


def test_api_answers_with_a_problem_when_nobody_is_signed_in_and_the_console_redirects(client: Client) -> None:
    answer = client.get("/internal/events/replays")
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")
    assert client.get("/console/deliveries").headers["Location"] == "/sign-in?next=/console/deliveries"


def test_sign_in_page_asks_no_provider_when_none_is_set_up(client: Client) -> None:
    assert "Sign in with" not in client.get(URL).content.decode()
    assert client.get("/sign-in/oidc").status_code == client.get("/sign-in/oidc/callback").status_code == 404
    assert client.get("/signed-out").status_code == 200
