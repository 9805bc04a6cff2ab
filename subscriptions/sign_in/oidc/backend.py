"""mozilla-django-oidc's code flow, with the checks of OpenID Connect Core that it leaves to its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from subscriptions.sign_in.oidc.accounts import account_of
from subscriptions.sign_in.oidc.person import ClaimNames, read_person
from subscriptions.sign_in.oidc.provider import failures, provider
from subscriptions.sign_in.oidc.refusal import Refusal, SignInRefused

CLOCK_LEEWAY_S: Final = 60
Claims = Mapping[str, object]


class OidcBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # the package has no types
    """Raises SignInRefused or ProviderError; the callback view makes a page of either."""

    def __init__(self) -> None:
        """Not the package's own: Django makes a backend for every request, and this must cost no discovery."""
        self.UserModel = get_user_model()

    OIDC_OP_TOKEN_ENDPOINT = property(lambda self: provider().token_url)
    OIDC_OP_JWKS_ENDPOINT = property(lambda self: provider().jwks_url)
    OIDC_OP_USER_ENDPOINT = property(lambda self: provider().userinfo_url)
    OIDC_RP_CLIENT_ID = property(lambda self: settings.OIDC_RP_CLIENT_ID)
    OIDC_RP_CLIENT_SECRET = property(lambda self: settings.OIDC_RP_CLIENT_SECRET)

    # Django's, which gives no user that was switched off; the package's would.
    get_user = ModelBackend.get_user

    def authenticate(self, request: HttpRequest | None, *, nonce: str, code_verifier: str) -> User | None:
        """The two names keep it out of password sign-ins."""
        with failures():
            found: User | None = super().authenticate(request, nonce=nonce, code_verifier=code_verifier)
        return found

    def get_token(self, payload: dict[str, Any]) -> Claims:
        token = super().get_token(payload)
        if not isinstance(token, Mapping) or not isinstance(token.get("id_token"), str):
            raise SignInRefused(Refusal.TOKEN, "no ID token")
        return token

    def raise_token_response_error(self, response: Any) -> None:
        """RFC 6749, section 5.2: 400 is about the code, among others; the package would put the whole answer into its error."""
        if response.status_code == 400:
            raise SignInRefused(Refusal.CODE)
        response.raise_for_status()

    def verify_token(self, token: str, **kwargs: Any) -> Claims:
        """OpenID Connect Core 1.0, section 3.1.3.7. A call without a nonce (a signed userinfo) is refused."""
        try:
            claims: Claims = jwt.decode(
                token,
                self.retrieve_matching_jwk(token),
                algorithms=[settings.OIDC_RP_SIGN_ALGO],
                audience=settings.OIDC_RP_CLIENT_ID,
                issuer=provider().issuer,
                leeway=CLOCK_LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, SuspiciousOperation) as error:
            raise SignInRefused(Refusal.TOKEN, type(error).__name__) from None
        except (KeyError, TypeError, AttributeError) as error:  # keys or a header that lack their kid
            raise SignInRefused(Refusal.TOKEN, f"keys: {type(error).__name__}") from None
        _check_nonce_and_party(claims, kwargs.get("nonce"))
        return claims

    def get_or_create_user(self, access_token: str, id_token: str, payload: Claims) -> User:
        claims = {**self._userinfo(access_token, id_token, payload), **payload}
        names = ClaimNames(
            settings.OIDC_CLAIM_USERNAME,
            settings.OIDC_CLAIM_NAME,
            settings.OIDC_CLAIM_EMAIL,
            settings.OIDC_CLAIM_GROUPS,
        )
        return account_of(read_person(claims, names), str(self.request.META.get("REMOTE_ADDR", "")))

    def _userinfo(self, access_token: str, id_token: str, payload: Claims) -> Claims:
        """Section 5.3.2: of the same subject, else of no use."""
        if not provider().userinfo_url:
            return {}
        found = self.get_userinfo(access_token, id_token, payload)
        if not isinstance(found, Mapping) or found.get("sub") != payload["sub"]:
            raise SignInRefused(Refusal.TOKEN, "userinfo is another subject's")
        return found


def _check_nonce_and_party(claims: Claims, nonce: object) -> None:
    if not nonce or claims.get("nonce") != nonce:
        raise SignInRefused(Refusal.TOKEN, "nonce")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else settings.OIDC_RP_CLIENT_ID) != settings.OIDC_RP_CLIENT_ID:
        raise SignInRefused(Refusal.TOKEN, "azp")
