"""The subscriptions file as values: parsed and checked as a whole before anything is compared. Pure but for `parse_file`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from audit.trail import PLATFORM_CHAIN
from subscriptions.checks import check_tags, check_types
from subscriptions.filters import validate_filters
from subscriptions.models import MAX_RATE_PER_S, MIN_RATE_PER_S, SLUG, Ordering
from subscriptions.retry_policy import NAME, PolicyError, stored_policy
from subscriptions.yaml_sync.document import Document, load_yaml
from subscriptions.yaml_sync.endpoint import EndpointSettings, read_endpoint
from subscriptions.yaml_sync.problems import Problem, SpecError
from subscriptions.yaml_sync.reader import Node

VERSION = 1
MAX_NAME_CHARS = 200
_SLUG = re.compile(SLUG.regex)


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    slug: str
    types: tuple[str, ...]
    tags: tuple[str, ...]
    filters: list[object]
    retry_policy: dict[str, object] | None
    ordering: str
    active: bool


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    slug: str
    name: str
    way: EndpointSettings
    subscriptions: tuple[SubscriptionSpec, ...]


@dataclass(frozen=True, slots=True)
class TenantSpec:
    slug: str
    name: str
    rate_limit: float | None
    endpoints: tuple[EndpointSpec, ...]


@dataclass(frozen=True, slots=True)
class FileSpec:
    tenants: tuple[TenantSpec, ...]


def parse_file(path: Path, environ: Mapping[str, str]) -> FileSpec:
    """Raises SpecError, also when the file cannot be read."""
    return read_document(load_file(path), environ)


def load_file(path: Path) -> Document:
    """Raises SpecError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem("", str(error))]) from None
    return load_yaml(text)


def read_document(document: Document, environ: Mapping[str, str]) -> FileSpec:
    """Raises SpecError naming everything that is wrong, with lines."""
    try:
        return read(document.data, environ)
    except SpecError as error:
        raise SpecError(document.located(error.problems)) from None


def read(data: object, environ: Mapping[str, str]) -> FileSpec:
    """Plain data → the spec. Raises SpecError naming everything that is wrong."""
    problems: list[Problem] = []
    root = Node(data, "", problems, environ)
    version = root.anything("version", None)
    if version != VERSION or isinstance(version, bool):
        root.note("version", f"takes {VERSION}, the version of this format")
    tenants = tuple(_tenant(node) for node in root.nodes("tenants"))
    _no_twins(root, "tenants", (tenant.slug for tenant in tenants))
    root.end()
    if problems:
        raise SpecError(problems)
    return FileSpec(tenants)


def _tenant(node: Node) -> TenantSpec:
    slug = node.text("slug", check=_check_tenant_slug)
    name = node.text("name", slug, check=_check_name)
    rate_limit = node.optional_number("rate_limit", MIN_RATE_PER_S, MAX_RATE_PER_S)
    endpoints = tuple(_endpoint(child) for child in node.nodes("endpoints"))
    _no_twins(node, "endpoints", (endpoint.slug for endpoint in endpoints))
    _no_twins(node, "subscriptions", (item.slug for endpoint in endpoints for item in endpoint.subscriptions))
    node.end()
    return TenantSpec(slug, name, rate_limit, endpoints)


def _endpoint(node: Node) -> EndpointSpec:
    spec = EndpointSpec(
        slug=node.text("slug", check=_check_slug),
        name=node.text("name", "", check=_check_name),
        way=read_endpoint(node),
        subscriptions=tuple(_subscription(child) for child in node.nodes("subscriptions")),
    )
    node.end()
    return spec


def _subscription(node: Node) -> SubscriptionSpec:
    filters = node.anything("filters", [])
    for problem in validate_filters(filters):
        node.note(problem.field, problem.message)
    spec = SubscriptionSpec(
        slug=node.text("slug", check=_check_slug),
        types=node.texts("types", check_types),
        tags=node.texts("tags", check_tags),
        filters=filters if isinstance(filters, list) else [],
        retry_policy=_retry_policy(node),
        ordering=node.choice("ordering", Ordering.values, Ordering.NONE),
        active=node.boolean("active", True),
    )
    node.end()
    return spec


def _retry_policy(node: Node) -> dict[str, object] | None:
    try:
        return stored_policy(node.anything("retry_policy", {}))
    except PolicyError as error:
        for field_name, problem in error.errors.items():
            node.note("retry_policy" if field_name == NAME else f"retry_policy.{field_name}", problem)
    return None


def _check_slug(slug: str) -> str | None:
    return None if _SLUG.fullmatch(slug) else str(SLUG.message)


def _check_tenant_slug(slug: str) -> str | None:
    return f"{slug!r} is the platform's own name" if slug == PLATFORM_CHAIN else _check_slug(slug)


def _check_name(name: str) -> str | None:
    fits = len(name) <= MAX_NAME_CHARS and (name.isprintable() or not name)
    return None if fits else f"takes at most {MAX_NAME_CHARS} printable characters"


def _no_twins(node: Node, key: str, slugs: Iterable[str]) -> None:
    seen: set[str] = set()
    for slug in slugs:
        if slug and slug in seen:
            node.note(key, f"the slug {slug!r} stands twice")
        seen.add(slug)
