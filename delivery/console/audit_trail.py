"""The console's page of the audit trail: who did what to what, filtered, exported, and verified on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from audit import store
from audit.models import AuditEntry
from audit.trail import PLATFORM_CHAIN, record
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.audit_chains import VERIFIED, ChainState, chains_of, states, visible
from delivery.console.audit_export import FORMATS, download
from delivery.console.audit_filter import AuditFilter, action_choices
from delivery.console.audit_words import Detail, action_words, details_of, noun_words, target_url
from delivery.console.paging import NumberCursor, capped_count, page_of
from delivery.console.views import LIVE_ID
from eventcenter.access.principal import Principal
from eventcenter.audit_parts import PART_MOST, CursorError, Part, Progress, go_on


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as the list shows it."""

    entry: AuditEntry
    words: str
    noun: str
    key: str
    url: str
    details: list[Detail]

    @classmethod
    def of(cls, entry: AuditEntry) -> Line:
        noun, _, key = entry.target.partition(":")
        url = target_url(entry.target, entry.action)
        return cls(entry, action_words(entry.action), noun_words(noun), key, url, details_of(entry.details))

    @property
    def has_changes(self) -> bool:
        return any(detail.before is not None for detail in self.details)


class AuditTrail(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        chains, cursor = chains_of(self.principal), NumberCursor.of(request.GET)
        applied = AuditFilter.of(request.GET.dict(), chains)
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('audit-trail')}?{applied.query}".rstrip("?"))
        context = _list_context(applied, self.principal, chains, cursor)
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_audit_trail.html", context)
        known = states([applied.tenant] if applied.tenant else chains)
        context |= {"chains": chains, "actions": action_choices(), "states": known, "sentence": _sentence(known)}
        context["more_chains"] = 0 if applied.tenant else len(chains) - len(known)
        return render(request, "console/audit_trail.html", context)


class AuditExport(ConsoleView):
    """POST, since it leaves an entry: what the filter finds, as a file."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("audit-trail")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        chains, form = chains_of(self.principal), request.POST.get("format", "")
        if form not in FORMATS:
            raise Http404
        applied = AuditFilter.of(request.POST.dict(), chains)
        details: dict[str, object] = {"format": form, "filter": applied.query}
        chain = applied.tenant or (PLATFORM_CHAIN if PLATFORM_CHAIN in chains else chains[0])
        record(chain, self.principal.actor, "audit.exported", f"chain:{chain}", details)
        return download(applied.narrow(visible(self.principal, chains)), form)


class AuditVerify(ConsoleView):
    """POST goes over a part of a chain; the page has the button for the next part, which a browser with script presses."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("audit-trail")

    def post(self, request: HttpRequest) -> HttpResponse:
        progress = _progress(request, self.principal)
        if progress is None:
            return render(request, "console/audit_verify.html", {"lost": True})
        part = go_on(progress, PART_MOST)
        if part.is_over:
            _audit(part, self.principal)
        context = _part_context(part, self.principal)
        is_part = htmx_of(request).target == "verify"
        return render(request, "console/_audit_verify.html" if is_part else "console/audit_verify.html", context)


def _list_context(
    applied: AuditFilter, principal: Principal, chains: Sequence[str], cursor: NumberCursor
) -> dict[str, object]:
    rows = applied.narrow(visible(principal, chains))
    count, more = capped_count(rows)
    page = page_of(rows, cursor)
    return {
        "page": page,
        "lines": [Line.of(entry) for entry in page.rows],
        "count": count,
        "more": more,
        "filter": applied,
        "is_newest": cursor.is_newest,
        "several": len(chains) > 1 and not applied.tenant,
    }


def _sentence(known: Sequence[ChainState]) -> tuple[str, str]:
    """Tone and words: is the trail in order, as far as we know?"""
    broken = [state.name for state in known if state.tone == "bad"]
    if broken:
        return "bad", f"Not as it was written: {', '.join(broken)}."
    unsigned = [state.name for state in known if state.entries and not state.head]
    if unsigned:
        return "mute", f"No chain is known to be broken; not signed yet: {', '.join(unsigned)}."
    return "good", "No chain is known to be broken; all have a signed head."


def _progress(request: HttpRequest, principal: Principal) -> Progress | None:
    """Where to go on. None: the cursor is none, or too old. Raises Http404 for a chain that the reader may not see."""
    try:
        cursor = request.POST.get("cursor")
        progress = Progress.of_cursor(cursor) if cursor else Progress(request.POST.get("chain", ""))
    except CursorError:
        return None
    if progress.chain not in chains_of(principal):
        raise Http404
    return progress


def _audit(part: Part, principal: Principal) -> None:
    """In the chain that was verified: its next entry says that all before it was looked at."""
    progress = part.progress
    details: dict[str, object] = {
        "result": "broken" if part.faults else "intact",
        "entries": progress.entries,
        "up_to": progress.position,
        "digest": progress.digest.hex(),
        "signed_heads": part.heads,
        "signed_up_to": part.signed,
        "faults": [str(fault) for fault in part.faults],
        "not_compared": part.gaps,
    }
    with transaction.atomic():
        record(progress.chain, principal.actor, VERIFIED, f"chain:{progress.chain}", details)


def _part_context(part: Part, principal: Principal) -> dict[str, object]:
    chain, places = part.progress.chain, [fault.position for fault in part.faults]
    total = max(store.end_of(chain), part.progress.position)
    return {
        "part": part,
        "total": total,
        "broken": list(_lines(chain, places)),
        "head": part.progress.digest.hex(),
    }


def _lines(chain: str, places: Sequence[int]) -> Iterator[Line]:
    """The entries at these places, as they stand now."""
    for entry in AuditEntry.objects.filter(chain=chain, position__in=places).order_by("position"):
        yield Line.of(entry)
