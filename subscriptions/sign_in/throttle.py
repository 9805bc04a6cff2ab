"""How often one may fail to sign in: a few times as one user from one address, some more from one address.

django-axes counts the failures in PostgreSQL, so that all web processes see them and a restart forgets none.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

IPV6_PREFIX: Final = 64  # what one subscriber gets as a rule; within it an address costs nothing
Credentials = Mapping[str, object] | None
Attempts = QuerySet[AccessAttempt]


class SignInAttempts(AxesDatabaseHandler):  # type: ignore[misc]  # the package has no types
    """Two limits where axes knows one: AXES_FAILURE_LIMIT for user and address, SIGN_IN_FAILURES_PER_ADDRESS for the address."""

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """The worse of the two, on the scale of AXES_FAILURE_LIMIT."""
        return max(scaled for scaled, _ in self._counts(request, credentials))

    def locked_until(self, request: HttpRequest, credentials: Credentials = None) -> datetime:
        """When the last failure that counts is forgotten. Failures while locked are not counted, so it does not move."""
        cool_off: timedelta = settings.AXES_COOLOFF_TIME
        over = [
            attempts for scaled, attempts in self._counts(request, credentials) if scaled >= settings.AXES_FAILURE_LIMIT
        ]
        newest = [found for attempts in over if (found := attempts.aggregate(at=Max("attempt_time"))["at"])]
        return max(newest, default=timezone.now()) + cool_off

    def reset_user_attempts(self, request: HttpRequest, credentials: Credentials = None) -> int:
        """A success forgives its user's failures, not the address': else one good account would buy endless guesses."""
        of_pair, _ = self.filter_user_attempts(request, credentials)
        return int(of_pair.delete()[0])

    def _counts(self, request: HttpRequest, credentials: Credentials) -> list[tuple[int, Attempts]]:
        """In the order of AXES_LOCKOUT_PARAMETERS. What names no user (OIDC) is counted for the address alone."""
        of_pair, of_address = self.get_user_attempts(request, credentials)
        share = _sum(of_address) * settings.AXES_FAILURE_LIMIT // settings.SIGN_IN_FAILURES_PER_ADDRESS
        return [(_sum(of_pair.exclude(username=None)), of_pair), (share, of_address)]


def _sum(attempts: Attempts) -> int:
    return int(attempts.aggregate(failures=Sum("failures_since_start"))["failures"] or 0)


def throttled_address(request: HttpRequest) -> str | None:
    """AXES_CLIENT_IP_CALLABLE: the client's address (config.middleware.client_address), of IPv6 its network."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:  # a Unix socket without a proxy that tells: all its clients are one
        return None
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False).network_address)


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: Credentials) -> HttpResponse:
    """AXES_LOCKOUT_CALLABLE: the answer to an attempt while locked, a right password included."""
    attempts = AxesProxyHandler.get_implementation()
    left_s = max(1, math.ceil((attempts.locked_until(request, credentials) - timezone.now()).total_seconds()))
    page = render(request, "registration/locked.html", {"minutes": math.ceil(left_s / 60)}, status=429)
    page.headers["Retry-After"] = str(left_s)
    page.headers["Cache-Control"] = "no-store"
    return page


def forget_old_attempts(now: datetime) -> int:
    """Those that count no more. Axes does so at sign-ins; this is for the days without any."""
    return int(AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME).delete()[0])
