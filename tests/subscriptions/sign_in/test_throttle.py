"""Guessing passwords gets slow, for one user and for one address, and no way around it is open."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.db.models import F
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditEntry
from subscriptions.sign_in import upkeep
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

LIMIT = django_settings.AXES_FAILURE_LIMIT
WRONG = "wrong horse"


def attempt(username: str, password: str = WRONG, address: str = "192.0.2.1", **headers: str) -> HttpResponse:
    """From a fresh browser."""
    return Client(REMOTE_ADDR=address, headers=headers).post("/sign-in", {"username": username, "password": password})


def lock(username: str, address: str = "192.0.2.1") -> HttpResponse:
    answers = [attempt(username, address=address) for _ in range(LIMIT)]
    assert [answer.status_code for answer in answers] == [200] * (LIMIT - 1) + [429]
    return answers[-1]


def test_sign_in_is_locked_when_it_failed_too_often() -> None:
    UserFactory(username="eva")

    answer = lock("eva")

    assert 14 * 60 < int(answer.headers["Retry-After"]) <= 15 * 60
    assert "15 more minutes" in answer.content.decode()
    assert attempt("eva", PASSWORD).status_code == 429
    reasons = [entry.details["reason"] for entry in AuditEntry.objects.order_by("position")]
    assert reasons == ["wrong"] * (LIMIT - 1) + ["wrong, and locked from now on"]  # and none of the one while locked


def test_lock_holds_when_browser_or_name_changes() -> None:
    UserFactory(username="eva")
    for number in range(LIMIT):
        attempt("eva", user_agent=f"Browser {number}")

    assert attempt("eva", PASSWORD, user_agent="Another").status_code == 429


def test_lock_ends_when_its_time_is_over_and_not_before() -> None:
    UserFactory(username="eva")
    lock("eva")
    attempt("eva")  # while locked: the end does not move

    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    answer = attempt("eva", PASSWORD)
    assert (answer.status_code, int(answer.headers["Retry-After"]) <= 60) == (429, True)
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=1))
    assert attempt("eva", PASSWORD).status_code == 302


def test_others_sign_in_when_one_user_or_one_address_is_locked() -> None:
    UserFactory(username="eva")
    UserFactory(username="matrix")
    lock("eva")

    assert attempt("matrix", PASSWORD).status_code == 302
    assert attempt("eva", PASSWORD, address="192.0.2.2").status_code == 302


def test_address_is_locked_when_it_tried_many_names(settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 7
    UserFactory(username="eva")
    assert [attempt(f"guess-{number}").status_code for number in range(7)] == [200] * 6 + [429]

    assert attempt("eva", PASSWORD).status_code == 429
    assert attempt("eva", PASSWORD, address="192.0.2.2").status_code == 302


def test_addresses_count_as_one_when_they_are_of_one_ipv6_network(settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 3
    UserFactory(username="eva")
    for number in range(3):
        attempt(f"guess-{number}", address=f"2001:db8:0:1::{number}")

    assert attempt("eva", PASSWORD, address="2001:db8:0:1:ffff::1").status_code == 429
    assert attempt("eva", PASSWORD, address="2001:db8:0:2::1").status_code == 302


def test_success_forgives_its_user_and_not_the_address(settings: Settings) -> None:
    """Or an attacker with one good account would have endless guesses at the others."""
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 5
    UserFactory(username="mallory")
    UserFactory(username="eva")
    for guess in range(4):
        attempt(f"victim-{guess}")
        assert attempt("mallory", PASSWORD).status_code == 302
    assert attempt("victim-4").status_code == 429

    settings.SIGN_IN_FAILURES_PER_ADDRESS = 1000
    for _ in range(LIMIT - 1):
        attempt("eva", address="192.0.2.9")
    attempt("eva", PASSWORD, address="192.0.2.9")
    assert attempt("eva", address="192.0.2.9").status_code == 200


def test_forged_forwarding_header_changes_nothing_when_no_proxy_is_trusted(settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 3
    for number in range(3):
        attempt(f"guess-{number}", x_forwarded_for=f"198.51.100.{number}")

    assert attempt("more", x_forwarded_for="203.0.113.1").status_code == 429


def test_clients_are_told_apart_when_a_proxy_is_trusted(settings: Settings) -> None:
    settings.TRUSTED_PROXY_HOPS, settings.SIGN_IN_FAILURES_PER_ADDRESS = 1, 3
    UserFactory(username="eva")
    for number in range(3):
        attempt(f"guess-{number}", x_forwarded_for=f"203.0.113.{number}, 198.51.100.7")  # the left one is forged

    assert attempt("more", x_forwarded_for="198.51.100.7").status_code == 429
    assert attempt("eva", PASSWORD, x_forwarded_for="198.51.100.8").status_code == 302
    assert AuditEntry.objects.get(action="sign_in.succeeded").address == "198.51.100.8"


def test_lock_counts_all_when_a_socket_tells_no_address() -> None:
    UserFactory(username="eva")
    lock("eva", address="")

    assert attempt("eva", PASSWORD, address="").status_code == 429


def test_answer_is_the_same_when_the_user_is_unknown_or_off() -> None:
    UserFactory(username="eva")
    UserFactory(username="off", is_active=False)
    pages = [
        attempt(name, password).content.decode().replace(name, "NAME")
        for name, password in (("eva", WRONG), ("nobody-here", WRONG), ("off", PASSWORD))
    ]

    assert "Please enter a correct username and password" in pages[0]
    assert without_tokens(pages[0]) == without_tokens(pages[1]) == without_tokens(pages[2])


def without_tokens(page: str) -> list[str]:
    return [line for line in page.splitlines() if "csrfmiddlewaretoken" not in line]


def test_trail_names_no_user_when_none_has_that_name() -> None:
    """A password typed into the wrong field stays out of it."""
    attempt("hunter2 is my password")

    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.target, entry.address) == ("system:sign-in", "user:unknown", "192.0.2.1")
    assert entry.details == {"method": "password", "reason": "wrong"}


def test_nothing_secret_is_kept_of_a_failure() -> None:
    attempt("eva", "a-secret-guess")

    kept = AccessAttempt.objects.get()
    assert "a-secret-guess" not in f"{kept.get_data} {kept.post_data} {kept.path_info}"


def test_old_failures_and_sessions_are_deleted_by_the_upkeep() -> None:
    UserFactory(username="eva")
    attempt("nobody")
    attempt("eva", PASSWORD)
    upkeep.forget_old_sign_ins(timezone.now())
    assert AccessAttempt.objects.count() == upkeep.Session.objects.count() == 1

    upkeep.forget_old_sign_ins(timezone.now() + timedelta(hours=13))
    assert AccessAttempt.objects.count() == upkeep.Session.objects.count() == 0
