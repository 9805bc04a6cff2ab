"""The identity provider: where its endpoints are, and what its failures mean. mozilla-django-oidc does the other HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import requests  # noqa: TID251 - a door of its own: the provider is named by the settings, tenants have no say in it
from django.conf import settings

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Provider:
    """The last two may be empty: claims then come from the ID token alone, and there is no signing out over there."""

    issuer: str
    authorization_url: str
    token_url: str
    jwks_url: str
    userinfo_url: str = ""
    end_session_url: str = ""


class ProviderError(Exception):
    """503: nobody answers. 502: the answer is of no use. `words` are for the log; nothing of an answer is in them."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def provider() -> Provider:
    """As the settings say, or as the discovery document says, which a process reads once. Raises ProviderError."""
    if settings.OIDC_ENDPOINTS_GIVEN:
        return Provider(
            settings.OIDC_ISSUER,
            settings.OIDC_AUTHORIZATION_URL,
            settings.OIDC_TOKEN_URL,
            settings.OIDC_JWKS_URL,
            settings.OIDC_USERINFO_URL,
            settings.OIDC_END_SESSION_URL,
        )
    return _discovered(settings.OIDC_ISSUER)


@lru_cache(maxsize=1)
def _discovered(issuer: str) -> Provider:
    with failures():
        response = requests.get(issuer.rstrip("/") + DISCOVERY_PATH, timeout=settings.OIDC_TIMEOUT)
        response.raise_for_status()
        document = response.json()
    return read_discovery(issuer, document)


def read_discovery(issuer: str, document: object) -> Provider:
    """OpenID Connect Discovery 1.0, section 4.3: the document's issuer is the one that was asked, to the letter."""
    if not isinstance(document, Mapping) or document.get("issuer") != issuer:
        raise ProviderError(HTTPStatus.BAD_GATEWAY, "the discovery document is another issuer's")
    needed = [_endpoint(issuer, document, name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(needed):
        raise ProviderError(HTTPStatus.BAD_GATEWAY, "the discovery document lacks an endpoint")
    rest = [_endpoint(issuer, document, name) for name in ("userinfo_endpoint", "end_session_endpoint")]
    return Provider(issuer, *needed, *rest)


def _endpoint(issuer: str, document: Mapping[str, object], name: str) -> str:
    """Empty when it has none; no weaker in its transport than the issuer."""
    url = document.get(name, "")
    schemes = ("https://",) if issuer.startswith("https://") else ("https://", "http://")
    if not isinstance(url, str) or (url and not url.startswith(schemes)):
        raise ProviderError(HTTPStatus.BAD_GATEWAY, f"the discovery document's {name} is no URL that may be used")
    return url


@contextmanager
def failures() -> Iterator[None]:
    """Turns what `requests` raises into ProviderError."""
    try:
        yield
    except (requests.ConnectionError, requests.Timeout) as error:
        raise ProviderError(HTTPStatus.SERVICE_UNAVAILABLE, type(error).__name__) from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise ProviderError(HTTPStatus.BAD_GATEWAY, f"answered {status}") from None
    except requests.RequestException as error:  # what is no JSON among it
        raise ProviderError(HTTPStatus.BAD_GATEWAY, type(error).__name__) from None
