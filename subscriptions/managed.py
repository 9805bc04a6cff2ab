"""What belongs to the subscriptions file, and what is said to who changes it by hand."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest

from subscriptions.models import AppliedSpec, Endpoint, Subscription, Tenant


def is_managed(row: Endpoint | Subscription | Tenant) -> bool:
    """Whether the subscriptions file owns it."""
    if isinstance(row, Tenant):
        return AppliedSpec.objects.filter(tenant=row, kind=AppliedSpec.Kind.TENANT).exists()
    return bool(row.managed_by)


def warn_managed(request: HttpRequest, row: Endpoint | Subscription | Tenant) -> None:
    text = (
        f"{row} belongs to the subscriptions file: the next sync_subscriptions refuses to run until the file says the same, "
        "or sets it back when it is told to (--overwrite-drift)."
    )
    messages.warning(request, text)
