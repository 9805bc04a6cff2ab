"""The one way in and the one way out, for console and admin."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.generic import TemplateView, View

from subscriptions.sign_in import trail
from subscriptions.sign_in.oidc.provider import ProviderError, provider

OIDC_BACKEND = "subscriptions.sign_in.oidc.backend.OidcBackend"


class SignIn(LoginView):
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not settings.PASSWORD_SIGN_IN:
            return self.render_to_response(self.get_context_data(), status=HTTPStatus.FORBIDDEN)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            trail.succeeded(self.request, form.get_user(), trail.PASSWORD)
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """What is tried while locked leaves no trace of its own: a flood shall not flood the trail."""
        if form.non_field_errors() and not _was_locked_before(self.request):
            locked = getattr(self.request, "axes_locked_out", False)
            reason = "wrong, and locked from now on" if locked else "wrong"
            trail.failed(self.request, trail.PASSWORD, reason, str(form.cleaned_data.get("username", "")))
        return super().form_invalid(form)

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Never back to this page, which would send who is signed in round in circles."""
        url = super().get_redirect_url()
        return "" if urlsplit(url).path == reverse("login") else url

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context = super().get_context_data(**kwargs)
        following = context["next"]
        start = reverse("oidc-start") + (f"?{urlencode({'next': following})}" if following else "")
        return context | {
            "password": settings.PASSWORD_SIGN_IN,
            "oidc_name": settings.OIDC_NAME if settings.OIDC_ON else "",
            "oidc_url": start,
        }


def _was_locked_before(request: HttpRequest) -> bool:
    """Axes refused to try the password; it counts failures only where it did."""
    return getattr(request, "axes_locked_out", False) and getattr(request, "axes_failures_since_start", None) is None


class SignOut(LogoutView):
    """POST only. Who came by the identity provider is still signed in there: the next page says so."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        user = request.user
        if not isinstance(user, User):
            return super().post(request, *args, **kwargs)
        by_oidc = request.session.get(BACKEND_SESSION_KEY) == OIDC_BACKEND
        with transaction.atomic():
            response = super().post(request, *args, **kwargs)
            trail.ended(request, user)
        return redirect("signed-out") if by_oidc else response


class SignedOut(TemplateView):
    """A link and no redirect of the form: browsers hold redirects of forms to the CSP's form-action."""

    template_name = "registration/signed_out.html"

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return super().get_context_data(**kwargs) | {
            "oidc_name": settings.OIDC_NAME,
            "oidc_url": self._end_session_url(),
        }

    def _end_session_url(self) -> str:
        """OpenID Connect RP-Initiated Logout 1.0, section 2; empty where the provider has none or is away."""
        if not settings.OIDC_ON:
            return ""
        try:
            url = provider().end_session_url
        except ProviderError:
            return ""
        back = self.request.build_absolute_uri(reverse("login"))
        query = urlencode({"client_id": settings.OIDC_RP_CLIENT_ID, "post_logout_redirect_uri": back})
        return f"{url}{'&' if '?' in url else '?'}{query}" if url else ""


class AdminSignIn(View):
    """Where the admin sends those whom it does not let in: to the sign-in, or, when that was done, to the reason."""

    http_method_names = ("get", "head")

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
