"""Reading plain data strictly: every problem is collected under its path, none ends the reading. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from subscriptions.yaml_sync import variables
from subscriptions.yaml_sync.problems import Problem


class Node:
    """A mapping of the file at its path. Readers return a usable value even when they note a problem."""

    def __init__(self, value: object, path: str, problems: list[Problem], environ: Mapping[str, str]) -> None:
        self.path, self._problems, self._environ = path, problems, environ
        self._seen: set[str] = set()
        self._data: Mapping[object, object] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.note("", "takes a mapping of keys and values")

    def note(self, key: str, message: str) -> None:
        where = f"{self.path}.{key}" if self.path and key else self.path or key
        self._problems.append(Problem(where, message))

    def text(self, key: str, default: str | None = None, check: Callable[[str], str | None] | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            self.note(key, "is missing" if value is None else "takes text; put it in quotes")
            return ""
        problem = check(value) if check else None
        if problem:
            self.note(key, problem)
        return value

    def expanded(self, key: str, check: Callable[[str], str | None]) -> tuple[str, str]:
        """(as written, with every ${VAR} filled in from the environment)."""
        written = self.text(key)
        filled = self.fill(key, written)
        problem = check(filled) if filled else None
        if problem:
            self.note(key, problem)
        return written, filled or ""

    def fill(self, key: str, written: str) -> str | None:
        """None, and a problem noted, when a variable is not set, or the text cannot be kept."""
        if "\0" in written:
            self.note(key, "takes text without NUL")
            return None
        absent = [name for name in variables.names(written) if not self._environ.get(name)]
        for name in absent:
            self.note(key, f"the environment variable {name} is not set")
        return None if absent else variables.fill(written, self._environ)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        value = self._take(key, default)
        if isinstance(value, str) and (value in choices or not self.has(key)):
            return value
        self.note(key, f"takes one of {', '.join(choices)}")
        return default

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._take(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self.note(key, f"takes a number from {low:g} to {high:g}")
        return default

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        """None when it is not set."""
        return None if self._take(key, None) is None else self.number(key, low, low, high)

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        value = self._take(key, None)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and value % 1 == 0:
            return int(value)
        self.note(key, f"takes a whole number from {low} to {high}")
        return None

    def boolean(self, key: str, default: bool) -> bool:
        value = self._take(key, default)
        if not isinstance(value, bool):
            self.note(key, "takes true or false")
            return default
        return value

    def texts(self, key: str, check: Callable[[Sequence[str]], str | None]) -> tuple[str, ...]:
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.note(key, "takes a list of texts")
            return ()
        problem = check(value)
        if problem:
            self.note(key, problem)
        return tuple(value)

    def anything(self, key: str, default: object) -> object:
        return self._take(key, default)

    def mapping(self, key: str) -> dict[str, str]:
        value = self._take(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
            self.note(key, "takes names and texts; put numbers in quotes")
            return {}
        return value

    def values(self, key: str) -> dict[str, object]:
        """Names and values of any kind."""
        value = self._take(key, {})
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            self.note(key, "takes names and values")
            return {}
        return value

    def has(self, key: str) -> bool:
        """Whether it is written; it counts as asked for."""
        return self._take(key, None) is not None

    def nodes(self, key: str) -> Iterator[Node]:
        value = self._take(key, [])
        if not isinstance(value, list):
            self.note(key, "takes a list")
            return
        for place, item in enumerate(value):
            where = f"{self.path}.{key}[{place}]" if self.path else f"{key}[{place}]"
            yield Node(item, where, self._problems, self._environ)

    def end(self) -> None:
        """Call it when all is read: what was not asked for is not known."""
        for key in self._data:
            if key not in self._seen:
                self.note(str(key), f"is not known here; known are {', '.join(sorted(self._seen))}")

    def _take(self, key: str, default: object) -> object:
        self._seen.add(key)
        value = self._data.get(key)
        return default if value is None else value
