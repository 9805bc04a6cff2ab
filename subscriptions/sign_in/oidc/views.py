"""The two steps of the code flow: to the identity provider, and back."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.generic import View
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView

from subscriptions.sign_in import trail
from subscriptions.sign_in.oidc.provider import ProviderError, provider
from subscriptions.sign_in.oidc.refusal import Refusal, SignInRefused

logger = logging.getLogger(__name__)

STATES = "oidc_states"  # the package's, in the session
RETRY_AFTER_S = 30


class OidcView(View):
    """404 while it is off. What the provider does wrong is a page and a log line, never a fault of ours."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not settings.OIDC_ON:
            raise Http404
        try:
            response = super().dispatch(request, *args, **kwargs)
        except ProviderError as error:
            logger.error("sign_in.provider_failed", extra={"status": error.status.value, "why": error.words})
            response = _page(request, "away", error.status.value)
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        response.headers["Cache-Control"] = "no-store"
        return response


class OidcStart(OidcView, OIDCAuthenticationRequestView):  # type: ignore[misc]  # the package has no types
    def __init__(self, **kwargs: Any) -> None:
        """Not the package's own, which wants the endpoints before there is a request."""
        View.__init__(self, **kwargs)

    OIDC_OP_AUTH_ENDPOINT = property(lambda self: provider().authorization_url)
    OIDC_RP_CLIENT_ID = property(lambda self: settings.OIDC_RP_CLIENT_ID)


class OidcCallback(OidcView, OIDCAuthenticationCallbackView):  # type: ignore[misc]
    """The state is used up whatever comes of it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            self._check_parameters(request)
            response: HttpResponse = super().get(request)
        except SignInRefused as refused:
            return self._refuse(refused)
        except SuspiciousOperation:  # the package's word for a state that it does not know
            return self._refuse(SignInRefused(Refusal.STATE))
        return response

    def login_success(self) -> HttpResponse:
        """Django gives the session a new key; the package's log-in does nothing when this user is signed in already."""
        with transaction.atomic():
            response: HttpResponse = super().login_success()
            trail.succeeded(self.request, self.user, trail.OIDC)
        return response

    def login_failure(self) -> HttpResponse:
        """No state and code, or throttled, which has its own page put over this one."""
        if getattr(self.request, "axes_locked_out", False):
            return HttpResponse(status=429)
        return self._refuse(SignInRefused(Refusal.STATE))

    def _check_parameters(self, request: HttpRequest) -> None:
        """RFC 9207: an `iss` is the provider's own. An error counts only with a state of ours: the package would sign anybody
        out whom a link led here."""
        if request.GET.get("error"):
            if request.session.get(STATES, {}).pop(request.GET.get("state", ""), None) is None:
                raise SignInRefused(Refusal.STATE)
            request.session.modified = True
            raise SignInRefused(Refusal.DENIED)
        if request.GET.get("iss", provider().issuer) != provider().issuer:
            raise SignInRefused(Refusal.ISSUER)

    def _refuse(self, refused: SignInRefused) -> HttpResponse:
        """Counted for the address by axes, as a wrong password is."""
        refusal = refused.refusal
        logger.warning("sign_in.refused", extra={"refusal": refusal.word, "why": refused.why})
        trail.failed(self.request, trail.OIDC, refusal.word)
        user_login_failed.send(sender=__name__, credentials={}, request=self.request)
        return _page(self.request, "refused", refusal.status.value, refusal.words)


def _page(request: HttpRequest, name: str, status: int, words: str = "") -> HttpResponse:
    context = {"words": words, "oidc_name": settings.OIDC_NAME, "password": settings.PASSWORD_SIGN_IN}
    return render(request, f"registration/oidc_{name}.html", context, status=status)
