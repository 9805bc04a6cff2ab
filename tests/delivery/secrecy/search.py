"""Looks for secrets in everything that somebody may read: each in the forms that code could have given it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import models
from pythonjsonlogger.json import JsonFormatter

from eventcenter import data_keys
from eventcenter.crypto import unseal
from eventcenter.models import DataKey
from eventcenter.sealed_columns import SealedColumn, sealed_columns

# Apps whose tables are searched, Django's history and sessions among them.
OURS = ("admin", "audit", "delivery", "eventcenter", "sessions", "subscriptions", "auth")


@dataclass
class Log:
    """Every record of every logger at DEBUG, as production writes it: with its extra fields and tracebacks."""

    lines: list[str] = field(default_factory=list)

    def handler(self) -> logging.Handler:
        formatter = JsonFormatter(settings.LOGGING["formatters"]["json"]["format"])
        lines = self.lines

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(formatter.format(record))

        return Keep(logging.NOTSET)


def forms(secret: str | bytes) -> set[bytes]:
    """Raw, base64 at each of the three places within something longer, hex, URL and JSON escapes."""
    raw = secret.encode() if isinstance(secret, str) else secret
    text = raw.decode("latin-1")
    found = {raw, raw.hex().encode(), quote(raw, safe="").encode(), quote_plus(raw).encode(), repr(raw)[2:-1].encode()}
    found.add(json.dumps(text)[1:-1].encode())
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # What the bytes around it decide is cut off.
        found.add(encoded[(0, 2, 3)[shift] :].rstrip(b"=")[:-1])
        found.add(base64.urlsafe_b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] :].rstrip(b"=")[:-1])
    return found


def stored_secrets() -> dict[str, str | bytes]:
    """What every sealed column holds, opened; and the keys above them. Name → secret."""
    found: dict[str, str | bytes] = {f"master key {name}": key for name, key in settings.ENCRYPTION_KEYS}
    for pk in DataKey.objects.values_list("pk", flat=True):
        found[f"data key {pk}"] = data_keys.key_of(pk)
    for column in sealed_columns():
        found |= _of(column)
    return found


def _of(column: SealedColumn) -> dict[str, str | bytes]:
    found: dict[str, str | bytes] = {}
    for pk, value in column.model._base_manager.values_list("pk", column.name):
        if value is not None:
            for number, text in enumerate(_leaves(unseal(value, column.purpose))):
                found[f"{column} {pk} {number}"] = text
    return found


def _leaves(text: str) -> Iterator[str]:
    """A signing secret without its prefix; of JSON the values: second members of pairs, members of objects."""
    if text.startswith(("whsec_", "whsk_")):
        yield text.partition("_")[2]
        return
    opened: Any = json.loads(text)
    yield from (value for _, value in opened) if isinstance(opened, list) else opened.values()


def tables() -> Iterator[tuple[str, bytes]]:
    """Every value of every row of ours, and of Django's history and sessions; sealed columns are left out."""
    sealed = {(column.model, column.name) for column in sealed_columns()}
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            names = [item.name for item in model._meta.concrete_fields if (model, item.name) not in sealed]
            for row in model._base_manager.values(*names):
                for name, value in row.items():
                    yield f"{model._meta.label}.{name}", _plain(model, name, value)


def _plain(model: type[models.Model], name: str, value: object) -> bytes:
    if model._meta.label == "sessions.Session" and name == "session_data":
        return json.dumps(SessionStore().decode(str(value))).encode()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    return json.dumps(value, default=str, ensure_ascii=False).encode()


def leaks(secrets: dict[str, str | bytes], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where which secret was found; the secret itself is not repeated."""
    needles = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    assert all(len(form) >= 8 for _, form in needles), "too short to be told from chance"
    found = {f"{name} in {place}" for place, text in places for name, form in needles if form in text}
    return sorted(found)
