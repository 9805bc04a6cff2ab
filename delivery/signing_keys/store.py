"""The signing keys of both tables, read in one form."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import QuerySet

from delivery.signing_keys.key import KeyKind, SigningKey
from eventcenter.key_age import KeyAge
from eventcenter.models import PublishKey
from subscriptions.models import EndpointSecret, EndpointState

_CHUNK = 1_000


def endpoint_secrets() -> QuerySet[EndpointSecret]:
    """Those that go on signing for somebody. One that was rotated ends by itself; a disabled endpoint sends nothing."""
    lasting = EndpointSecret.objects.lasting().exclude(endpoint__state=EndpointState.DISABLED)
    return lasting.filter(endpoint__tenant__active=True).select_related("endpoint__tenant")


def publish_keys() -> QuerySet[PublishKey]:
    return PublishKey.objects.filter(active=True, tenant__active=True).select_related("tenant")


def all_keys() -> Iterator[SigningKey]:
    yield from map(of_endpoint, endpoint_secrets().iterator(_CHUNK))
    yield from map(of_publisher, publish_keys().iterator(_CHUNK))


def reminded_keys(limit: int | None = None) -> list[SigningKey]:
    """Those of which somebody was reminded, and that are still the same. Index: the two partial ones, of few rows."""
    secrets = endpoint_secrets().filter(reminded_days__isnull=False)[:limit]
    keys = publish_keys().filter(reminded_days__isnull=False)[:limit]
    return [*map(of_endpoint, secrets), *map(of_publisher, keys)]


def any_reminded() -> bool:
    """Whether `reminded_keys` has to be asked: one look into two indexes that are empty most of the time."""
    secrets = EndpointSecret.objects.lasting().filter(reminded_days__isnull=False).values_list("pk")
    keys = PublishKey.objects.filter(active=True, reminded_days__isnull=False).values_list("pk")
    return bool(secrets[:1].union(keys[:1], all=True))


def lock(key: SigningKey) -> SigningKey | None:
    """The key as it is now, its row locked; None when it was rotated or ended since it was read."""
    row: EndpointSecret | PublishKey | None
    if key.kind is KeyKind.ENDPOINT:
        row = endpoint_secrets().select_for_update(of=("self",)).filter(pk=key.pk).first()
        return of_endpoint(row) if row else None
    row = publish_keys().select_for_update(of=("self",)).filter(pk=key.pk).first()
    return of_publisher(row) if row else None


def save_reminded(key: SigningKey, step: int | None) -> None:
    model = EndpointSecret if key.kind is KeyKind.ENDPOINT else PublishKey
    model._default_manager.filter(pk=key.pk).update(reminded_days=step)


def of_endpoint(row: EndpointSecret) -> SigningKey:
    endpoint = row.endpoint
    days = endpoint.rotate_every_days or settings.SIGNING_KEY_ROTATE_DAYS
    return SigningKey(
        kind=KeyKind.ENDPOINT,
        pk=row.pk,
        owner_pk=endpoint.pk,
        tenant_id=endpoint.tenant_id,
        tenant=endpoint.tenant.slug,
        name=endpoint.slug,
        age=KeyAge(row.created_at, days),
        reminded=row.reminded_days,
    )


def of_publisher(row: PublishKey) -> SigningKey:
    return SigningKey(
        kind=KeyKind.PUBLISH_KEY,
        pk=row.pk,
        owner_pk=row.pk,
        tenant_id=row.tenant_id,
        tenant=row.tenant.slug,
        name=row.key_id,
        age=KeyAge(row.secret_created_at, settings.SIGNING_KEY_ROTATE_DAYS),
        reminded=row.reminded_days,
    )
