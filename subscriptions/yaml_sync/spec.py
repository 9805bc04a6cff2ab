"""The subscriptions file as values: parsed and checked as a whole before anything is compared. Pure but for `parse_file`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.core.exceptions import ValidationError

from subscriptions.checks import check_tags, check_types
from subscriptions.filters import validate_filters
from subscriptions.models import SLUG, ContentMode
from subscriptions.webhook_rules import MAX_HEADERS, check_header, check_url
from subscriptions.yaml_sync.reader import Node, SpecError, load_yaml

VERSION = 1
MAX_NAME_CHARS = 200
MIN_TIMEOUT_S, MAX_TIMEOUT_S, DEFAULT_TIMEOUT_S = 0.1, 20.0, 15.0


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    slug: str
    types: tuple[str, ...]
    tags: tuple[str, ...]
    filters: list[object]
    active: bool


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """`written_url` still has its ${VAR}s, for plans and the audit trail; values of variables are for the wire only."""

    slug: str
    name: str
    url: str = field(repr=False)
    written_url: str
    content_mode: str
    timeout_s: float
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    subscriptions: tuple[SubscriptionSpec, ...]


@dataclass(frozen=True, slots=True)
class TenantSpec:
    slug: str
    name: str
    endpoints: tuple[EndpointSpec, ...]


@dataclass(frozen=True, slots=True)
class FileSpec:
    tenants: tuple[TenantSpec, ...]


def parse_file(path: Path, environ: Mapping[str, str]) -> FileSpec:
    """Raises SpecError, also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"{path}: {error}"]) from None
    return read(load_yaml(text), environ)


def read(data: object, environ: Mapping[str, str]) -> FileSpec:
    """Plain data → the spec. Raises SpecError naming everything that is wrong."""
    problems: list[str] = []
    root = Node(data, "", problems, environ)
    if root.anything("version", None) != VERSION:
        root.note("version", f"takes {VERSION}, the version of this format")
    tenants = tuple(_tenant(node) for node in root.nodes("tenants"))
    _no_twins(root, "tenants", (tenant.slug for tenant in tenants))
    root.end()
    if problems:
        raise SpecError(problems)
    return FileSpec(tenants)


def _tenant(node: Node) -> TenantSpec:
    slug = node.text("slug", check=_check_slug)
    name = node.text("name", slug, check=_check_name)
    endpoints = tuple(_endpoint(child) for child in node.nodes("endpoints"))
    _no_twins(node, "endpoints", (endpoint.slug for endpoint in endpoints))
    _no_twins(node, "subscriptions", (item.slug for endpoint in endpoints for item in endpoint.subscriptions))
    node.end()
    return TenantSpec(slug, name, endpoints)


def _endpoint(node: Node) -> EndpointSpec:
    slug = node.text("slug", check=_check_slug)
    name = node.text("name", "", check=_check_name)
    written_url, url = node.expanded("url", check_url)
    spec = EndpointSpec(
        slug=slug,
        name=name,
        url=url,
        written_url=written_url,
        content_mode=node.choice("content_mode", ContentMode.values, ContentMode.STRUCTURED),
        timeout_s=node.number("timeout_s", DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S),
        headers=_headers(node),
        subscriptions=tuple(_subscription(child) for child in node.nodes("subscriptions")),
    )
    node.end()
    return spec


def _headers(node: Node) -> tuple[tuple[str, str], ...]:
    written = node.mapping("headers")
    if len(written) > MAX_HEADERS:
        node.note("headers", f"takes at most {MAX_HEADERS}")
    pairs = []
    for name, text in written.items():
        value = node.fill(f"headers.{name}", text)
        problem = check_header(name, value) if value is not None else None
        if problem:
            node.note(f"headers.{name}", problem)
        pairs.append((name, value or ""))
    return tuple(pairs)


def _subscription(node: Node) -> SubscriptionSpec:
    filters = node.anything("filters", [])
    for problem in validate_filters(filters):
        node.note(problem.field, problem.message)
    spec = SubscriptionSpec(
        slug=node.text("slug", check=_check_slug),
        types=node.texts("types", check_types),
        tags=node.texts("tags", check_tags),
        filters=filters if isinstance(filters, list) else [],
        active=node.boolean("active", True),
    )
    node.end()
    return spec


def _check_slug(slug: str) -> str | None:
    try:
        SLUG(slug)
    except ValidationError as error:
        return str(error.message)
    return None


def _check_name(name: str) -> str | None:
    return None if len(name) <= MAX_NAME_CHARS else f"takes at most {MAX_NAME_CHARS} characters"


def _no_twins(node: Node, key: str, slugs: Iterable[str]) -> None:
    seen: set[str] = set()
    for slug in slugs:
        if slug and slug in seen:
            node.note(key, f"the slug {slug!r} stands twice")
        seen.add(slug)
