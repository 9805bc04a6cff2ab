"""Every column that holds sealed values, found by its name: `sealed_x` is a BinaryField, and its model's X_PURPOSE says for what
its values are sealed. A new one needs no list: the rotation of keys finds it, and a system check refuses one half without
the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error
from django.db import models

PREFIX = "sealed_"
SUFFIX = "_PURPOSE"


@dataclass(frozen=True, slots=True)
class SealedColumn:
    model: type[models.Model]
    name: str
    purpose: str

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"


def sealed_columns() -> list[SealedColumn]:
    return [
        SealedColumn(model, name, purpose)
        for model, name in _named_sealed()
        if (purpose := getattr(model, _constant(name), None)) is not None
    ]


def check_sealed_columns(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django's system check."""
    problems: list[CheckMessage] = []
    for model, name in _named_sealed():
        if not isinstance(model._meta.get_field(name), models.BinaryField):
            problems.append(
                Error(f"{name} is named as sealed and is no BinaryField.", obj=model, id="eventcenter.E001")
            )
        if not isinstance(getattr(model, _constant(name), None), str):
            text = f"{name} needs {_constant(name)}: the purpose that its values are sealed for."
            problems.append(Error(text, obj=model, id="eventcenter.E002"))
    return problems


def _named_sealed() -> Iterator[tuple[type[models.Model], str]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if field.name.startswith(PREFIX):
                yield model, field.name


def _constant(name: str) -> str:
    return name.removeprefix(PREFIX).upper() + SUFFIX
