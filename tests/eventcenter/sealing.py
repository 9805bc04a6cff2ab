"""A value as it was sealed before there were data keys."""

from __future__ import annotations

from django.conf import settings

from eventcenter.cipher import encrypt


def seal_directly(text: str, purpose: str) -> bytes:
    """By the first master key itself."""
    name, key = settings.ENCRYPTION_KEYS[0]
    return name.encode() + b":" + encrypt(key, text.encode(), purpose.encode())
