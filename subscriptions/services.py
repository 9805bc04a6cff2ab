"""What people and files do to endpoints. Each change is one transaction with its audit entry; none shows a stored secret."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter.crypto import seal, unseal
from eventcenter.standardwebhooks import generate_secret
from subscriptions.models import Endpoint, EndpointSecret, EndpointState

# The old secret signs along for a day after a rotation, so that a receiver can change over in its own time.
ROTATION_OVERLAP = timedelta(hours=24)


def seal_headers(pairs: Sequence[tuple[str, str]]) -> bytes | None:
    """For Endpoint.sealed_headers; subscriptions.routing.open_headers reads it back."""
    return seal(json.dumps([list(pair) for pair in pairs]), Endpoint.HEADERS_PURPOSE) if pairs else None


def seal_credentials(values: Mapping[str, str]) -> bytes | None:
    """For Endpoint.sealed_credentials; subscriptions.routing.open_credentials reads it back."""
    return seal(json.dumps(dict(values)), Endpoint.CREDENTIALS_PURPOSE) if values else None


def add_secret(endpoint: Endpoint, actor: Actor, action: str = "endpoint.secret_added") -> str:
    """A new signing secret for the endpoint, next to those it has. Returns it: the one moment that it can be read."""
    secret = generate_secret()
    with transaction.atomic():
        sealed = seal(secret, EndpointSecret.SECRET_PURPOSE)
        stored = EndpointSecret.objects.create(endpoint=endpoint, sealed_secret=sealed)
        record(endpoint.tenant.slug, actor, action, f"endpoint:{endpoint.pk}", {"secret": stored.pk})
    return secret


def rotate_secret(endpoint: Endpoint, actor: Actor, overlap: timedelta = ROTATION_OVERLAP) -> str:
    """A new secret; the ones that have no end yet go on signing for `overlap`. Returns the new one."""
    with transaction.atomic():
        Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        endpoint.secrets.filter(expires_at=None).update(expires_at=timezone.now() + overlap)
        return add_secret(endpoint, actor, "endpoint.secret_rotated")


def live_secrets(endpoint: Endpoint) -> list[str]:
    """The secrets that sign now, opened, newest first. For the demo's receiver and tools at the shell only."""
    live = endpoint.secrets.live(timezone.now()).order_by("-created_at", "-id")
    return [unseal(bytes(row.sealed_secret), EndpointSecret.SECRET_PURPOSE) for row in live]


def pause(endpoint: Endpoint, actor: Actor, reason: str) -> bool:
    """Hold the endpoint's deliveries; no attempt is spent. False when it was not enabled."""
    return _set_state(endpoint, actor, [EndpointState.ENABLED], EndpointState.PAUSED, reason, "endpoint.paused")


def resume(endpoint: Endpoint, actor: Actor) -> bool:
    """From paused or disabled back to work. False when it was enabled already."""
    stopped = [EndpointState.PAUSED, EndpointState.DISABLED]
    return _set_state(endpoint, actor, stopped, EndpointState.ENABLED, "", "endpoint.resumed")


def disable(endpoint: Endpoint, actor: Actor, reason: str) -> bool:
    """End it: what is still to be delivered there becomes dead. False when it was disabled already."""
    working = [EndpointState.ENABLED, EndpointState.PAUSED]
    return _set_state(endpoint, actor, working, EndpointState.DISABLED, reason, "endpoint.disabled")


def _set_state(
    endpoint: Endpoint, actor: Actor, sources: list[EndpointState], to: EndpointState, reason: str, action: str
) -> bool:
    with transaction.atomic():
        before = Endpoint.objects.select_for_update().filter(pk=endpoint.pk, state__in=sources).first()
        if before is None:
            return False
        Endpoint.objects.filter(pk=endpoint.pk).update(state=to, state_reason=reason)
        details: dict[str, object] = {"from": before.state, "reason": reason or before.state_reason}
        record(endpoint.tenant.slug, actor, action, f"endpoint:{endpoint.pk}", details)
    endpoint.state, endpoint.state_reason = to, reason
    return True
