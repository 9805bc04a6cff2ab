"""The console's banner: signing keys that are due, for those who may rotate them. A template context processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from delivery.signing_keys import store
from delivery.signing_keys.key import KeyKind, SigningKey
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission

SHOWN_MOST = 5
READ_MOST = 100

_PAGES = {
    KeyKind.ENDPOINT: "admin:subscriptions_endpoint_change",
    KeyKind.PUBLISH_KEY: "admin:eventcenter_publishkey_change",
}


@dataclass(frozen=True, slots=True)
class DueKey:
    """`words`: such as "due in 6 days"."""

    label: str
    words: str
    url: str


@dataclass(frozen=True, slots=True)
class Banner:
    """The most urgent first; `more`: how many beyond those are not shown."""

    keys: list[DueKey]
    more: int


def due_signing_keys(request: HttpRequest) -> dict[str, Callable[[], Banner | None]]:
    """Costs nothing where a template does not ask: parts of pages and the admin do not."""

    @cache
    def banner() -> Banner | None:
        principal = principal_of(request)
        if not principal.may_anywhere(Permission.ADMINISTER) or not store.any_reminded():
            return None
        found = [key for key in store.reminded_keys(READ_MOST) if principal.may(Permission.ADMINISTER, key.tenant_id)]
        return _banner(found) if found else None

    return {"due_signing_keys": banner}


def _banner(found: list[SigningKey]) -> Banner:
    now = timezone.now()
    urgent = sorted(found, key=lambda key: key.age.due_at)
    shown = [
        DueKey(key.label, key.age.words(now), reverse(_PAGES[key.kind], args=[key.owner_pk]))
        for key in urgent[:SHOWN_MOST]
    ]
    return Banner(shown, len(found) - len(shown))
