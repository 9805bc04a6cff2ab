"""Reading plain data strictly: every problem is collected under its path, none ends the reading. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SpecError(ValueError):
    """The file cannot be used. `problems`: one line each, beginning with the path in the file."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class StrictLoader(yaml.SafeLoader):
    """A key that stands twice is an error: plain YAML would drop the first one without a word."""


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str | int) and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key if isinstance(key, str | int) else id(key_node))
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_yaml(text: str) -> object:
    """Raises SpecError with the line of the first mistake."""
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise SpecError([f"{where}: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise SpecError([f"the file: {error}"]) from None


class Node:
    """A mapping of the file at its path. Readers return a usable value even when they note a problem."""

    def __init__(self, value: object, path: str, problems: list[str], environ: Mapping[str, str]) -> None:
        self.path, self._problems, self._environ = path, problems, environ
        self._seen: set[str] = set()
        self._data: Mapping[object, object] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.note("", "takes a mapping of keys and values")

    def note(self, key: str, message: str) -> None:
        where = f"{self.path}.{key}" if self.path and key else self.path or key or "the file"
        self._problems.append(f"{where}: {message}")

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
        """None, and a problem noted, when a variable is not set."""
        absent = sorted({name for name in _VARIABLE.findall(written) if not self._environ.get(name)})
        for name in absent:
            self.note(key, f"the environment variable {name} is not set")
        return None if absent else _VARIABLE.sub(lambda match: self._environ[match[1]], written)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if value and value not in choices:
            self.note(key, f"takes one of {', '.join(choices)}")
        return value

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
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
            return value
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
        """Names and values of any kind. A null is left out, as if it were not written."""
        value = self._take(key, {})
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            self.note(key, "takes names and values")
            return {}
        return {name: item for name, item in value.items() if item is not None}

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
