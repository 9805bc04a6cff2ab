"""What the audit trail says of signing in and out. One place, called by the views; on the platform's chain."""

from __future__ import annotations

from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.http import HttpRequest

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter.row_security import unscoped

PASSWORD: Final = "password"  # noqa: S105 - ways of signing in
OIDC: Final = "oidc"
NOBODY: Final = "system:sign-in"  # who it was is what a failed sign-in leaves open
UNKNOWN: Final = "user:unknown"


def succeeded(request: HttpRequest, user: User, method: str) -> None:
    _record(_actor(request, user), "sign_in.succeeded", f"user:{user.get_username()}", {"method": method})


def failed(request: HttpRequest, method: str, reason: str, username: str = "") -> None:
    """A name that no account has is not written down: it may well be a password in the wrong field."""
    known = get_user_model().objects.filter(username=username).exists()
    target = f"user:{username}" if known else UNKNOWN
    _record(Actor(NOBODY, _address(request)), "sign_in.failed", target, {"method": method, "reason": reason})


def ended(request: HttpRequest, user: User) -> None:
    _record(_actor(request, user), "sign_out", f"user:{user.get_username()}", {})


def _actor(request: HttpRequest, user: User) -> Actor:
    return Actor.of_user(user, _address(request))


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def _record(actor: Actor, action: str, target: str, details: dict[str, object]) -> None:
    with unscoped():
        record(PLATFORM_CHAIN, actor, action, target, details)
