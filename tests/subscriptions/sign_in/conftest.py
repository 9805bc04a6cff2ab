from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from subscriptions.sign_in.oidc import provider as of_provider
from tests.fakes.identity_provider import IdentityProvider

BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "subscriptions.sign_in.oidc.backend.OidcBackend",
    "django.contrib.auth.backends.ModelBackend",
    "eventcenter.access.backend.RoleBackend",
]


@pytest.fixture
def provider(settings: Settings) -> Iterator[IdentityProvider]:
    """Running, and Event Center set up for it as the environment variables would."""
    of_provider._discovered.cache_clear()
    with IdentityProvider() as running:
        settings.OIDC_ON, settings.OIDC_ISSUER, settings.OIDC_NAME = True, running.url, "Keyring"
        settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = "event-center", "s" * 32
        settings.AUTHENTICATION_BACKENDS = BACKENDS
        yield running
    of_provider._discovered.cache_clear()
