"""What people and files do to endpoints. Each change is one transaction with its audit entry; none shows a stored secret."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter.crypto import seal, unseal
from eventcenter.key_age import KeyAge
from eventcenter.standardwebhooks import generate_private_key, generate_secret, public_key_of
from subscriptions.models import Endpoint, EndpointSecret, EndpointState, Signing

# The old secret signs along for a day after a rotation, so that a receiver can change over in its own time.
ROTATION_OVERLAP = timedelta(hours=24)


def seal_headers(pairs: Sequence[tuple[str, str]]) -> bytes | None:
    """For Endpoint.sealed_headers; subscriptions.routing.open_headers reads it back."""
    return seal(json.dumps([list(pair) for pair in pairs]), Endpoint.HEADERS_PURPOSE) if pairs else None


def seal_credentials(values: Mapping[str, str]) -> bytes | None:
    """For Endpoint.sealed_credentials; subscriptions.routing.open_credentials reads it back."""
    return seal(json.dumps(dict(values)), Endpoint.CREDENTIALS_PURPOSE) if values else None


def add_secret(endpoint: Endpoint, actor: Actor, action: str = "endpoint.secret_added") -> str:
    """A new signing key for the endpoint, next to those it has, of the kind that `endpoint.signing` says.

    Returns what its receiver is to be given: the shared secret, which can be read in this moment only, or the public key.
    """
    is_shared = endpoint.signing == Signing.HMAC
    secret = generate_secret() if is_shared else generate_private_key()
    public_key = "" if is_shared else public_key_of(secret)
    with transaction.atomic():
        stored = EndpointSecret.objects.create(
            endpoint=endpoint,
            sealed_secret=seal(secret, EndpointSecret.SECRET_PURPOSE),
            signing=endpoint.signing,
            public_key=public_key,
        )
        details: dict[str, object] = {"secret": stored.pk, "signing": str(endpoint.signing)}
        record(endpoint.tenant.slug, actor, action, f"endpoint:{endpoint.pk}", details)
    return public_key or secret


def rotate_secret(endpoint: Endpoint, actor: Actor, overlap: timedelta = ROTATION_OVERLAP) -> str:
    """A new key by `add_secret`; the ones that have no end yet go on signing for `overlap`. After `endpoint.signing` was
    changed this is also what brings the new kind in: for the overlap both kinds sign."""
    with transaction.atomic():
        Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        endpoint.secrets.lasting().update(expires_at=timezone.now() + overlap)
        return add_secret(endpoint, actor, "endpoint.secret_rotated")


class SecretKeptError(Exception):
    """A secret that is not revoked; the text says to people why."""


def revoke_secret(endpoint: Endpoint, secret_id: int, actor: Actor) -> None:
    """It signs no more, from now on. Raises SecretKeptError when it did not sign anyway, or when no other would be left
    that signs without an end: what comes unsigned is refused by every receiver."""
    with transaction.atomic():
        Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        now = timezone.now()
        live = endpoint.secrets.live(now)
        if not live.filter(pk=secret_id).exists():
            raise SecretKeptError("It does not sign any more, or is another endpoint's.")
        if not live.lasting().exclude(pk=secret_id).exists():
            raise SecretKeptError(
                "It is the last one that goes on signing: rotate the secret first, then revoke this one."
            )
        endpoint.secrets.filter(pk=secret_id).update(expires_at=now)
        target, details = f"endpoint:{endpoint.pk}", {"secret": secret_id}
        record(endpoint.tenant.slug, actor, "endpoint.secret_revoked", target, dict(details))


def age_of(secret: EndpointSecret) -> KeyAge:
    """`secret.endpoint` says after how many days, or the settings."""
    return KeyAge(secret.created_at, secret.endpoint.rotate_every_days or settings.SIGNING_KEY_ROTATE_DAYS)


def live_secrets(endpoint: Endpoint) -> list[str]:
    """The shared secrets that sign now, opened, newest first. For the demo's receiver and tools at the shell only."""
    live = endpoint.secrets.live(timezone.now()).filter(signing=Signing.HMAC).order_by("-created_at", "-id")
    return [unseal(bytes(row.sealed_secret), EndpointSecret.SECRET_PURPOSE) for row in live]


def pause(endpoint: Endpoint, actor: Actor, reason: str) -> bool:
    """Hold the endpoint's deliveries; no attempt is spent. False when it was not enabled."""
    return _set_state(endpoint, actor, Q(state=EndpointState.ENABLED), EndpointState.PAUSED, reason, "endpoint.paused")


def resume(endpoint: Endpoint, actor: Actor, *, approved: bool = False) -> bool:
    """From paused or disabled back to work. False when it was enabled already, or when the system had disabled it and no
    second person `approved` (docs/adr/0019): `needs_approval` tells which."""
    stopped = Q(state__in=[EndpointState.PAUSED, EndpointState.DISABLED])
    if not approved:
        stopped &= Q(disabled_by_system=False)
    return _set_state(endpoint, actor, stopped, EndpointState.ENABLED, "", "endpoint.resumed")


def needs_approval(endpoint: Endpoint) -> bool:
    """Whether its return to work takes a second person: 410 or days of failure ended it, not a hand."""
    return endpoint.state == EndpointState.DISABLED and endpoint.disabled_by_system


def disable(endpoint: Endpoint, actor: Actor, reason: str) -> bool:
    """End it: what is still to be delivered there becomes dead. False when it was disabled already."""
    working = Q(state__in=[EndpointState.ENABLED, EndpointState.PAUSED])
    return _set_state(endpoint, actor, working, EndpointState.DISABLED, reason, "endpoint.disabled")


def _set_state(endpoint: Endpoint, actor: Actor, sources: Q, to: EndpointState, reason: str, action: str) -> bool:
    with transaction.atomic():
        before = Endpoint.objects.select_for_update().filter(sources, pk=endpoint.pk).first()
        if before is None:
            return False
        Endpoint.objects.filter(pk=endpoint.pk).update(state=to, state_reason=reason, disabled_by_system=False)
        details: dict[str, object] = {"from": before.state, "reason": reason or before.state_reason}
        record(endpoint.tenant.slug, actor, action, f"endpoint:{endpoint.pk}", details)
    endpoint.state, endpoint.state_reason, endpoint.disabled_by_system = to, reason, False
    return True
