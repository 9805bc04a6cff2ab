"""For the frame of every page: how many approvals wait for who reads it, and how many alerts fire."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.utils import timezone

from delivery.approvals.service import waiting_for
from delivery.console.paging import capped_count
from delivery.models import Alert, AlertState
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within

COUNT_MOST = 99


def approvals_waiting(request: HttpRequest) -> dict[str, Callable[[], str]]:
    """Asked for only by a template that shows it; "" when nothing waits. One query, and none for who approves nothing."""

    def count() -> str:
        principal = principal_of(request) if hasattr(request, "user") else None
        if principal is None or not principal.may_anywhere(Permission.APPROVE):
            return ""
        found, more = capped_count(waiting_for(principal, timezone.now()), COUNT_MOST)
        return f"{found}+" if more else str(found or "")

    return {"approvals_waiting": count}


def alerts_firing(request: HttpRequest) -> dict[str, Callable[[], str]]:
    """Like the other: one query, over the index of open alerts (alert_open_once_a_key), of what the reader may see."""

    def count() -> str:
        principal = principal_of(request) if hasattr(request, "user") else None
        if principal is None or not principal.may_anywhere(Permission.VIEW):
            return ""
        firing = Alert.objects.filter(resolved_at=None, state=AlertState.FIRING)
        found, more = capped_count(within(firing, principal), COUNT_MOST)
        return f"{found}+" if more else str(found or "")

    return {"alerts_firing": count}
