"""Where an alert can be looked at, as absolute links for those who are not in the console."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from delivery.alerting.kinds import KINDS, RuleKind

_SECTIONS: Final[dict[str, str]] = {kind.value: row.runbook for kind, row in KINDS.items()}


def console_url(alert_id: UUID) -> str:
    """Empty when PUBLIC_URL is: a link without a host leads nowhere."""
    return _ours(reverse("alert", args=[alert_id]))


def list_url() -> str:
    return _ours(reverse("alerts"))


def runbook_url(kind: RuleKind | str) -> str:
    """The section of a kind; of one that the runbook does not know, its first page. Empty like the others."""
    page = settings.RUNBOOK_URL or _ours(reverse("runbook"))
    return _at(page, kind) if page else ""


def runbook_path(kind: RuleKind | str) -> str:
    """The same, of the console's own page."""
    return _at(reverse("runbook"), kind)


def _at(page: str, kind: str) -> str:
    section = _SECTIONS.get(kind)
    return f"{page}#{section}" if section else page


def _ours(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else ""
