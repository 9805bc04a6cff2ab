"""Which subscriptions an event goes to. Pure: an index by tenant and type, and a filter a subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from eventcenter.envelope import Envelope

WILDCARD = ".*"


@dataclass(frozen=True, slots=True)
class Route:
    """One active subscription, as matching needs it. An event passes with any of `tags` (none: any) and `accepts`."""

    subscription_id: int
    endpoint_id: int
    lane: str
    types: tuple[str, ...]
    tags: frozenset[str]
    accepts: Callable[[Envelope], bool] | None
    ordered: bool = False

    def takes(self, envelope: Envelope) -> bool:
        if self.tags and self.tags.isdisjoint(envelope.tags):
            return False
        return self.accepts is None or self.accepts(envelope)


@dataclass(slots=True)
class TenantRoutes:
    """A tenant's routes: by exact type, and by prefix for `plugin.release.*`. A route stands once under each pattern."""

    tenant_id: int
    exact: dict[str, list[Route]] = field(default_factory=dict)
    prefixes: list[tuple[str, Route]] = field(default_factory=list)

    def add(self, route: Route) -> None:
        for pattern in route.types:
            if pattern.endswith(WILDCARD):
                self.prefixes.append((pattern[: -len(WILDCARD) + 1], route))
            else:
                self.exact.setdefault(pattern, []).append(route)

    def match(self, envelope: Envelope) -> list[Route]:
        """The routes that take the event, each once, in the order of their subscriptions' ids."""
        found = {route.subscription_id: route for route in self.exact.get(envelope.type, ())}
        found |= {
            route.subscription_id: route
            for prefix, route in self.prefixes
            if envelope.type.startswith(prefix) and envelope.type != prefix
        }
        return [found[key] for key in sorted(found) if found[key].takes(envelope)]


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Every active tenant's routes, by slug."""

    tenants: Mapping[str, TenantRoutes]

    def tenant(self, slug: str | None) -> TenantRoutes | None:
        return self.tenants.get(slug or "")

    def tenant_id(self, slug: str | None) -> int | None:
        routes = self.tenant(slug)
        return routes.tenant_id if routes else None


def build(tenants: Iterable[tuple[str, int]], routes: Iterable[tuple[str, Route]]) -> RoutingTable:
    """(slug, id) pairs and (tenant slug, route) pairs → the table."""
    table = {slug: TenantRoutes(tenant_id) for slug, tenant_id in tenants}
    for slug, route in routes:
        if slug in table:  # else its tenant left between the two reads
            table[slug].add(route)
    return RoutingTable(table)
