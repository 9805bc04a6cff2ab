"""Between what people call tenants, endpoints and subscriptions, and the ids that criteria keep: slugs may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from django.db.models import QuerySet

from delivery.replays.criteria import Criteria, CriteriaError, Names, Problems, UnknownError
from subscriptions.models import Endpoint, Subscription, Tenant

OWNED: dict[str, type[Endpoint | Subscription]] = {"endpoint": Endpoint, "subscription": Subscription}


def with_ids(data: Mapping[str, object], tenant: Tenant | None = None) -> dict[str, object]:
    """The same data with ids for slugs. `tenant`: whose caller it is. Raises CriteriaError for what is not known.

    A slug of an endpoint or a subscription needs a tenant to be looked for in.
    """
    found, problems = dict(data), Problems()
    if isinstance(data.get("tenant"), str) and data["tenant"]:
        named = Tenant.objects.filter(slug=data["tenant"]).first() if _is_text(data["tenant"]) else None
        if named is None:
            raise UnknownError([("tenant", "is not known")])
        tenant, found["tenant"] = named, named.pk
    for name, model in OWNED.items():
        if isinstance(value := data.get(name), str) and value:
            pk = _by_slug(model, value, tenant)
            found[name] = pk
            if pk is None:
                problems.append((name, "is not known in the tenant" if tenant else "is a slug, which needs a tenant"))
    if problems:
        raise UnknownError(problems) if tenant else CriteriaError(problems)
    return found


def _is_text(value: object) -> bool:
    """PostgreSQL takes no NUL."""
    return isinstance(value, str) and value.isprintable()


def _by_slug(model: type[Endpoint | Subscription], slug: str, tenant: Tenant | None) -> int | None:
    if tenant is None or not _is_text(slug):
        return None
    return model._default_manager.filter(tenant=tenant, slug=slug).values_list("pk", flat=True).first()


def owned(criteria: Criteria) -> Criteria:
    """With the tenant that its endpoint, subscription or event implies: the indexes begin with it.

    Raises CriteriaError where they do not belong together, or do not exist.
    """
    problems = Problems()
    tenant_id = criteria.tenant_id
    if tenant_id is not None and not Tenant.objects.filter(pk=tenant_id).exists():
        raise UnknownError([("tenant", "is not known")])
    for name, model, pk in (
        ("endpoint", Endpoint, criteria.endpoint_id),
        ("subscription", Subscription, criteria.subscription_id),
    ):
        if pk is None:
            continue
        of = model._default_manager.filter(pk=pk).values_list("tenant_id", flat=True).first()
        if of is None or tenant_id not in (None, of):
            problems.append((name, "is not known in the tenant" if tenant_id else "is not known"))
        tenant_id = tenant_id or of
    if problems:
        raise UnknownError(problems)
    return replace(criteria, tenant_id=tenant_id)


def limited(criteria: Criteria, tenants: frozenset[int] | None) -> Criteria:
    """Within the tenants in which the caller may do it (None: all). What runs a replay sees every row, so this is the
    last look at whose they are. Raises CriteriaError.
    """
    found = owned(criteria)
    if tenants is None or found.tenant_id in tenants:
        return found
    if found.tenant_id is None and len(tenants) == 1:
        return replace(found, tenant_id=next(iter(tenants)))
    raise CriteriaError(
        [("tenant", "is not known" if found.tenant_id else "must be given: you may do this in several")]
    )


def names_of(all_criteria: Iterable[Criteria]) -> list[Names]:
    """One for each, in order. Three queries at most, however many there are."""
    wanted = list(all_criteria)
    tenants = _slugs(Tenant.objects.all(), {item.tenant_id for item in wanted})
    endpoints = _slugs(Endpoint.objects.all(), {item.endpoint_id for item in wanted})
    subscriptions = _slugs(Subscription.objects.all(), {item.subscription_id for item in wanted})
    return [
        Names(tenants[item.tenant_id], endpoints[item.endpoint_id], subscriptions[item.subscription_id])
        for item in wanted
    ]


def _slugs(
    rows: QuerySet[Tenant] | QuerySet[Endpoint] | QuerySet[Subscription], keys: set[int | None]
) -> dict[int | None, str]:
    """A deleted row is called by its number."""
    named: dict[int | None, str] = {key: f"#{key}" if key else "" for key in keys}
    known = [key for key in keys if key is not None]
    if known:
        named.update(rows.filter(pk__in=known).values_list("pk", "slug"))
    return named
