"""For the frame of every page: how many approvals wait for who reads it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.utils import timezone

from delivery.approvals.service import waiting_for
from delivery.console.paging import capped_count
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission

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
