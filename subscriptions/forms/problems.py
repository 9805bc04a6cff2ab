"""What a form refuses, with the names that programs know its fields by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.forms import ModelForm

Found = list[tuple[str, str]]
WHOLE = "body"


class RefusedError(Exception):
    """`problems`: (field, what it takes), one for each wrong field."""

    def __init__(self, problems: Found) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in problems))
        self.problems = problems


def problems_of(form: ModelForm[Any], names: Mapping[str, str]) -> Found:
    """`names`: form field → the program's field, where they differ."""
    return [
        (WHOLE if name == "__all__" else names.get(name, name), str(message))
        for name, messages in form.errors.items()
        for message in messages
    ]
