"""A YAML text as plain data that knows its lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml

from subscriptions.yaml_sync.problems import Problem, SpecError


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


@dataclass(frozen=True, slots=True)
class Document:
    data: object
    root: yaml.Node | None

    def located(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems with their lines, in the order of the lines."""
        found = [replace(problem, line=self._line_of(problem.path)) for problem in problems]
        return sorted(found, key=lambda problem: problem.line or 0)

    def _line_of(self, path: str) -> int | None:
        """Of the path, or of the innermost part of it that is there."""
        node, line, rest = self.root, self.root.start_mark.line + 1 if self.root else None, path
        while node is not None:
            step = _step(node, rest)
            if step is None:
                break
            line, node, rest = step
        return line


def load_yaml(text: str) -> Document:
    """Raises SpecError with the line of the first mistake."""
    loader = StrictLoader(text)
    try:
        root = loader.get_single_node()
        return Document(loader.construct_document(root) if root is not None else None, root)
    except yaml.MarkedYAMLError as error:
        raise SpecError([_syntax_problem(error)]) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise SpecError([Problem("", str(error))]) from None
    finally:
        loader.dispose()


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark, words = error.problem_mark or error.context_mark, str(error.problem or error.context)
    return Problem(f"column {mark.column + 1}", words, mark.line + 1) if mark else Problem("", words)


def _step(node: yaml.Node, path: str) -> tuple[int, yaml.Node, str] | None:
    """(line, the node there, the rest of the path) of the path's first part. A key may hold dots: the longest one wins."""
    if isinstance(node, yaml.SequenceNode) and path.startswith("["):
        place, _, rest = path[1:].partition("]")
        if place.isdigit() and int(place) < len(node.value):
            item = node.value[int(place)]
            return item.start_mark.line + 1, item, rest
    if isinstance(node, yaml.MappingNode):
        path = path.removeprefix(".")
        fitting = [(key, value) for key, value in node.value if _begins(path, key)]
        if fitting:
            key, value = max(fitting, key=lambda pair: len(pair[0].value))
            return key.start_mark.line + 1, value, path[len(key.value) :]
    return None


def _begins(path: str, key: yaml.Node) -> bool:
    if not isinstance(key, yaml.ScalarNode) or not key.value or not path.startswith(key.value):
        return False
    return path[len(key.value) :][:1] in ("", ".", "[")
