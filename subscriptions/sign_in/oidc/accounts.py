"""Whose account a person of the identity provider has: by issuer and subject, which never change and are never given twice."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter.row_security import unscoped
from subscriptions.models import SignInIdentity
from subscriptions.sign_in.oidc import roles
from subscriptions.sign_in.oidc.person import SUBJECT_CHARS_MOST, Person, username_of
from subscriptions.sign_in.oidc.refusal import Refusal, SignInRefused


def account_of(person: Person, address: str) -> User:
    """Found, linked or made, and brought up to date. Raises SignInRefused."""
    if not 0 < len(person.subject) <= SUBJECT_CHARS_MOST or "\0" in person.subject:
        raise SignInRefused(Refusal.TOKEN, "sub is empty or too long")
    with unscoped(), transaction.atomic():
        _one_at_a_time()
        identity = SignInIdentity.objects.select_related("user").filter(issuer=person.issuer, subject=person.subject)
        found = identity.first()
        user = found.user if found else _first_time(person, address)
        if not user.is_active:
            raise SignInRefused(Refusal.INACTIVE)
        _update(user, person)
        roles.follow_groups(user, person.groups, settings.OIDC_ROLE_MAP)
    return user


def _one_at_a_time() -> None:
    """Two first sign-ins at once make one account, and two people who want one name get two."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sign_in.identity'))")


def _first_time(person: Person, address: str) -> User:
    linked = _with_the_same_email(person)
    user = linked or _create(person)
    SignInIdentity.objects.create(user=user, issuer=person.issuer, subject=person.subject)
    action = "user.linked" if linked else "user.created"
    details: dict[str, object] = {"issuer": person.issuer, "subject": person.subject}
    record(PLATFORM_CHAIN, Actor.of_user(user, address), action, f"user:{user.get_username()}", details)
    return user


def _with_the_same_email(person: Person) -> User | None:
    """The one account that has this verified address and no identity yet, where the settings allow it.

    An unverified address links nothing, since anybody can claim it (and is stored nowhere, so that it cannot wait for its owner).
    """
    if not settings.OIDC_LINK_VERIFIED_EMAIL or not person.email:
        return None
    users = list(get_user_model().objects.filter(email__iexact=person.email)[:2])
    free = len(users) == 1 and not SignInIdentity.objects.filter(user=users[0]).exists()
    return users[0] if free else None


def _create(person: Person) -> User:
    users = get_user_model().objects
    is_taken = users.filter(username__iexact=username_of(person, is_taken=False)).exists()
    return users.create_user(username_of(person, is_taken), email=person.email, password=None)


def _update(user: User, person: Person) -> None:
    """An address that is verified no more stays: it was theirs when it was stored."""
    fresh = {"first_name": person.name, "last_name": "", "email": person.email or user.email}
    if not person.name:
        del fresh["first_name"], fresh["last_name"]
    changed = [name for name, value in fresh.items() if getattr(user, name) != value]
    for name in changed:
        setattr(user, name, fresh[name])
    if changed:
        user.save(update_fields=changed)
