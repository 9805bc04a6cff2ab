"""Problems as sentences at their fields."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from subscriptions.models import Endpoint, Subscription, Tenant

TAKEN = "Is taken: this tenant has one of that slug already."


def sentence(problem: str) -> str:
    return f"{problem[0].upper()}{problem[1:]}."


def refuse(problem: str | None) -> None:
    """Raises ValidationError when there is one."""
    if problem:
        raise ValidationError(sentence(problem))


def is_taken(row: Endpoint | Subscription, tenant: Tenant | None, slug: str | None) -> bool:
    """Whether another of the tenant's has the slug. Models cannot tell: forms know nothing of archived_at."""
    others = type(row)._default_manager.filter(tenant=tenant, slug=slug or "").exclude(pk=row.pk)
    return tenant is not None and others.exists()
