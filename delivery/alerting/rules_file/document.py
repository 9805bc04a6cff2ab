"""The rules file as values, parsed and checked as a whole before anything is compared. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from delivery.alerting.kinds import RuleKind
from delivery.alerting.rule_values import FIELDS, RuleError, Values, check_scope, read
from subscriptions.yaml_sync.document import Document
from subscriptions.yaml_sync.problems import Problem, SpecError
from subscriptions.yaml_sync.reader import Node

VERSION = 1


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """`path`: where it stands in the file. `tenant` and `endpoint` are slugs; "" for all."""

    path: str
    kind: RuleKind
    tenant: str
    endpoint: str
    values: Values

    @property
    def place(self) -> tuple[str, str, str]:
        return (self.kind.value, self.tenant, self.endpoint)


@dataclass(frozen=True, slots=True)
class FileSpec:
    document: Document
    rules: tuple[RuleSpec, ...]


def read_document(document: Document) -> FileSpec:
    """Raises SpecError naming everything that is wrong, with lines."""
    problems: list[Problem] = []
    root = Node(document.data, "", problems, {})
    version = root.anything("version", None)
    if version != VERSION or isinstance(version, bool):
        root.note("version", f"takes {VERSION}, the version of this format")
    found = [spec for node in root.nodes("rules") if (spec := _rule(node)) is not None]
    root.end()
    seen: set[tuple[str, str, str]] = set()
    for spec in found:
        if spec.place in seen:
            problems.append(Problem(spec.path, "stands twice: there is one rule for a kind and a scope"))
        seen.add(spec.place)
    if problems:
        raise SpecError(document.located(problems))
    return FileSpec(document, tuple(found))


def _rule(node: Node) -> RuleSpec | None:
    """None, and the problems noted, when it cannot be used."""
    name = node.text("kind")
    tenant, endpoint = node.text("tenant", ""), node.text("endpoint", "")
    given = {field: node.anything(field, None) for field in FIELDS}
    node.end()
    if name not in RuleKind.values:
        if name:
            node.note("kind", f"takes one of {', '.join(RuleKind.values)}")
        return None
    kind = RuleKind(name)
    try:
        check_scope(kind, tenant=bool(tenant), endpoint=bool(endpoint))
        return RuleSpec(node.path, kind, tenant, endpoint, read(kind, given))
    except RuleError as error:
        for field, problem in error.problems.items():
            node.note(field, problem)
    return None
