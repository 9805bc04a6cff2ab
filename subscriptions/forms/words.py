"""Problems as sentences at their fields."""

from __future__ import annotations

from django.core.exceptions import ValidationError


def sentence(problem: str) -> str:
    return f"{problem[0].upper()}{problem[1:]}."


def refuse(problem: str | None) -> None:
    """Raises ValidationError when there is one."""
    if problem:
        raise ValidationError(sentence(problem))
