"""Data keys: what values are sealed with. Each is kept wrapped by a master key of ENCRYPTION_KEYS, and opened once a process."""

from __future__ import annotations

import logging
import os
import secrets

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from eventcenter.cipher import KEY_BYTES, BoxError, UnsealError, decrypt, encrypt
from eventcenter.models import DataKey

logger = logging.getLogger(__name__)

ID_PREFIX = "dk"
ID_CHARS = len(ID_PREFIX) + 16  # 64 random bits: nobody counts on them being secret, only on being unlike

# Opened data keys by id. An id never gets another key, so that what is here stays right; a rewrap changes nothing of it.
_opened: dict[str, bytes] = {}


def current() -> tuple[str, bytes]:
    """(id, key) of the data key that seals now, made when there is none. Asks the database each time: values are sealed
    seldom, and a new data key is then in use at once. Raises UnsealError."""
    row = _newest() or _make_first()
    return row.pk, _key(row)


def key_of(key_id: str) -> bytes:
    """The data key of that id, retired or not. Raises UnsealError."""
    known = _opened.get(key_id)
    if known is not None:
        return known
    row = DataKey.objects.filter(pk=key_id).first() if key_id.isprintable() else None  # PostgreSQL takes no NUL
    if row is None:
        raise UnsealError(f"The data key {key_id!r} is not in the database.")
    return _key(row)


def replace_current() -> DataKey:
    """A new data key; the ones before it are retired: they open, and seal no more."""
    with transaction.atomic():
        _lock()
        DataKey.objects.filter(retired_at=None).update(retired_at=timezone.now())
        return _make()


def unwrap(row: DataKey) -> bytes:
    """Raises UnsealError."""
    master = dict(settings.ENCRYPTION_KEYS).get(row.master_key_id)
    if master is None:
        raise UnsealError(f"The encryption key {row.master_key_id!r} is not in ENCRYPTION_KEYS.")
    try:
        return decrypt(master, bytes(row.wrapped), _about(row.pk))
    except BoxError:
        text = f"The data key {row.pk} does not open with {row.master_key_id!r}: one of the two was changed."
        raise UnsealError(text) from None


def wrapped_values(key_id: str, key: bytes) -> dict[str, object]:
    """The columns of a data key that is wrapped by the first master key."""
    name, master = settings.ENCRYPTION_KEYS[0]
    return {"master_key_id": name, "wrapped": encrypt(master, key, _about(key_id))}


def forget() -> None:
    """As if no data key had been opened yet."""
    _opened.clear()


def _key(row: DataKey) -> bytes:
    known = _opened.get(row.pk)
    if known is None:
        known = _opened[row.pk] = unwrap(row)
    return known


def _newest() -> DataKey | None:
    return DataKey.objects.filter(retired_at=None).order_by("-created_at", "-pk").first()


def _make_first() -> DataKey:
    with transaction.atomic():
        _lock()
        return _newest() or _make()  # another process may have made it while we waited


def _make() -> DataKey:
    key_id = ID_PREFIX + secrets.token_hex(8)
    row = DataKey.objects.create(pk=key_id, **wrapped_values(key_id, os.urandom(KEY_BYTES)))
    logger.info("data_key.made", extra={"data_key": key_id, "master_key": row.master_key_id})
    return row


def _lock() -> None:
    """Until the end of the transaction: of two makers one waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('eventcenter.data_key'))")


def _about(key_id: str) -> bytes:
    return f"data-key:{key_id}".encode()
