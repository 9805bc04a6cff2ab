"""What is wrong with a file, in words for its author. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """`path`: such as tenants[0].endpoints[2].url, empty for the whole file. `line` counts from 1. No secret in it."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [self.path] if self.path else [] if self.line else ["the file"]
        return f"{', '.join(where)}: {self.message}"


class SpecError(ValueError):
    """The file cannot be used. `problems`: everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)
