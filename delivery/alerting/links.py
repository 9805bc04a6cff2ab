"""Where an alert's page of instructions is: the runbook's section of its kind."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.urls import reverse

from delivery.alerting.kinds import KINDS

_SECTIONS: Final[dict[str, str]] = {kind.value: rule.runbook for kind, rule in KINDS.items()}


def runbook_link(kind: str) -> str:
    """The section of a kind (`RuleKind` or its value), or of one that the runbook does not know, the runbook's first page.

    Absolute when the setting RUNBOOK_URL says where the runbook is, else a path of this site.
    """
    page = getattr(settings, "RUNBOOK_URL", "") or reverse("runbook")
    section = _SECTIONS.get(kind)
    return f"{page}#{section}" if section else page
