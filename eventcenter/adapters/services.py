"""Making and changing adapters. The secret is returned once and kept sealed; each change has its audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from audit.trail import Actor, record
from eventcenter.crypto import seal, unseal
from eventcenter.models import Adapter, AdapterKind
from eventcenter.standardwebhooks import generate_secret

PUBLIC_ID_PREFIX = "ad_"
PUBLIC_ID_BYTES = 16  # 128 bits: nobody finds a URL by trying
# The old secret is taken along for a day, as long as our own signing secrets overlap: time to change it at the forge.
ROTATION_OVERLAP = timedelta(hours=24)


def seal_new_secret(adapter: Adapter) -> str:
    """Give an unsaved adapter its public id, unless it has one, and a secret in Standard Webhooks' form, which every
    forge's field takes and GitLab's signing token asks for. Returns the secret."""
    secret = generate_secret()
    adapter.public_id = adapter.public_id or PUBLIC_ID_PREFIX + secrets.token_hex(PUBLIC_ID_BYTES)
    adapter.sealed_secret = seal(secret, Adapter.SECRET_PURPOSE)
    adapter.secret_made_at = timezone.now()
    return secret


def create_adapter(tenant_id: int, kind: AdapterKind, name: str, actor: Actor) -> tuple[Adapter, str]:
    """The stored adapter, which takes every repository's releases, and its secret."""
    adapter = Adapter(tenant_id=tenant_id, kind=kind, name=name)
    secret = seal_new_secret(adapter)
    with transaction.atomic():
        adapter.save()
        _record(adapter, actor, "adapter.created", {"kind": kind.value, "name": name})
    return adapter, secret


def rotate_secret(adapter: Adapter, actor: Actor) -> str:
    """A new secret; the one before it is taken along for ROTATION_OVERLAP, older ones end now. Returns the new one."""
    with transaction.atomic():
        held = Adapter.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=adapter.pk)
        held.sealed_previous_secret, held.previous_until = held.sealed_secret, timezone.now() + ROTATION_OVERLAP
        secret = seal_new_secret(held)
        held.save(update_fields=["sealed_secret", "secret_made_at", "sealed_previous_secret", "previous_until"])
        _record(held, actor, "adapter.secret_rotated", {"overlap_h": ROTATION_OVERLAP // timedelta(hours=1)})
    return secret


def pause(adapter: Adapter, actor: Actor) -> bool:
    """False when it was paused already."""
    return _set_active(adapter, actor, False, "adapter.paused")


def resume(adapter: Adapter, actor: Actor) -> bool:
    """False when it was at work already. What came in between was answered as ignored: the forge can send it again."""
    return _set_active(adapter, actor, True, "adapter.resumed")


def live_secrets(adapter: Adapter, now: datetime) -> Sequence[str]:
    """What a message may be proven with now, opened, newest first."""
    sealed = [adapter.sealed_secret]
    if adapter.sealed_previous_secret is not None and adapter.previous_until and now < adapter.previous_until:
        sealed.append(adapter.sealed_previous_secret)
    return [unseal(bytes(value), Adapter.SECRET_PURPOSE) for value in sealed]


def _set_active(adapter: Adapter, actor: Actor, active: bool, action: str) -> bool:
    with transaction.atomic():
        if not Adapter.objects.filter(pk=adapter.pk, active=not active).update(active=active):
            return False
        _record(adapter, actor, action, {})
    adapter.active = active
    return True


def _record(adapter: Adapter, actor: Actor, action: str, details: dict[str, object]) -> None:
    record(adapter.tenant.slug, actor, action, f"adapter:{adapter.pk}", details)
