"""The console's pages of replays and cancels of many: the list, one with its progress, a new one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.filters import clean_query
from delivery.console.list_filter import Field, ListFilter, tenant_field
from delivery.console.paging import Cursor, page_of
from delivery.console.replay_form import ReplayForm, initial_of
from delivery.console.views import LIVE_ID
from delivery.console.wording import doing
from delivery.models import ReplayAction, ReplayJob, ReplayState
from delivery.replays import gate, naming, service
from delivery.replays.criteria import CriteriaError
from delivery.replays.preview import told
from delivery.replays.service import Described
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from eventcenter.models import Heartbeat

SILENT_AFTER = timedelta(seconds=15)
DONE_WORDS = {"start": "Started.", "pause": "Paused.", "resume": "It goes on."}
UNUSABLE = "The filter’s {} cannot be used here and is left out: it would take more than the list shows."
STATE = Field("state", "State", "All states", [(state.value, state.label) for state in ReplayState])
ACTION = Field("action", "What", "Replays and cancels", [(action.value, action.label) for action in ReplayAction])


def has_runner() -> bool:
    """Whether a process works replays off."""
    return Heartbeat.objects.seen_since(timezone.now() - SILENT_AFTER).filter(role="replays").exists()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list. `moves`: what the reader may do to the job as it stands."""

    replay: Described
    moves: list[str]


class ReplayList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        applied = ListFilter.of(request.GET.dict(), [STATE, ACTION, tenant_field(request)])
        if "" in request.GET.values():  # a form without JavaScript sends its empty fields, too
            return redirect(f"{reverse('replays')}?{applied.query}".rstrip("?"))
        page = page_of(_filtered(self.principal, applied), Cursor.of(request.GET))
        rows = [Row(replay, _moves(replay, self.principal)) for replay in service.describe(page.rows)]
        context = {
            "page": page,
            "rows": rows,
            "is_newest": Cursor.of(request.GET).is_newest,
            "query": applied.query,
            "filter": applied,
        }
        template = "_replays" if htmx_of(request).target == LIVE_ID else "replays"
        return render(request, f"console/{template}.html", context)


def _filtered(principal: Principal, applied: ListFilter) -> QuerySet[ReplayJob]:
    given = {name: applied.chosen(name) for name in ("state", "action")} | {"tenant__slug": applied.chosen("tenant")}
    rows = within(ReplayJob.objects.select_related("tenant"), principal)
    return rows.filter(**{name: value for name, value in given.items() if value})


def _moves(replay: Described, principal: Principal) -> list[str]:
    may = principal.may(gate.permission_of(replay.job), replay.job.tenant_id)
    return replay.actions if may else []


class ReplayPage(ConsoleView):
    def get(self, request: HttpRequest, replay_id: UUID) -> HttpResponse:
        job = _job(replay_id, self.principal)
        [replay] = service.describe([job])
        is_draft, is_running = job.state == ReplayState.DRAFT, job.state == ReplayState.RUNNING
        context = {
            "replay": replay,
            "job": job,
            "doing": doing(job.action),
            "is_running": is_running,
            "is_draft": is_draft,
            "needs_approval": service.why_approval(job.pk) if is_draft else "",
            "no_runner": is_running and not has_runner(),
            "may_move": self.principal.may(gate.permission_of(job), job.tenant_id),
            "back": _back(replay),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_replay_job.html", context)
        if is_draft:
            context["told"] = told(replay.criteria, job.until)
        return render(request, "console/replay_job.html", context)


def _back(replay: Described) -> str:
    """The list of deliveries that it came from, with its filter."""
    query = clean_query(QueryDict(replay.criteria.back)).urlencode()
    return f"{reverse('deliveries')}?{query}" if query else reverse("deliveries")


class ReplayMove(ConsoleView):
    """POST does: start, pause, resume, cancel. GET asks before a job is cancelled, which cannot be undone."""

    def get(self, request: HttpRequest, replay_id: UUID, action: str) -> HttpResponse:
        job = self._found(replay_id, action)
        if action != "cancel":
            return HttpResponseNotAllowed(["POST"])
        [replay] = service.describe([job])
        context = {"job": job, "replay": replay, "doing": doing(job.action), "may_be": action in replay.actions}
        return render(request, "console/replay_stop.html", context)

    def post(self, request: HttpRequest, replay_id: UUID, action: str) -> HttpResponse:
        job = self._found(replay_id, action)
        refusal = service.act(replay_id, action, actor_of(request))
        if refusal:
            messages.error(request, refusal)
        else:
            messages.success(request, DONE_WORDS.get(action) or _stopped(service.job_of(job.pk)))
        if request.POST.get("to") == "list":
            return redirect("replays")
        return redirect("replay-job", replay_id)

    def _found(self, replay_id: UUID, action: str) -> ReplayJob:
        job = _job(replay_id, self.principal)
        require(self.principal, gate.permission_of(job), job.tenant_id)
        if action not in service.MOVES:
            raise Http404
        return job


def _stopped(job: ReplayJob) -> str:
    if not job.started_at:
        return "Discarded. Nothing was done."
    one = job.queued == 1
    return (
        f"Stopped. {job.queued:,} {'was' if one else 'were'} {doing(job.action).done} and stay{'s' if one else ''} so."
    )


class ReplayNew(ConsoleView):
    """GET shows the form with what the URL prefills; POST makes the preview, which starts nothing."""

    permission = Permission.REPLAY
    action: ClassVar[ReplayAction] = ReplayAction.REPLAY

    def get(self, request: HttpRequest) -> HttpResponse:
        initial = initial_of(request.GET, self.principal, self.action)
        if request.GET.get("pick") == "selected" and not initial.get("ids"):
            messages.warning(request, f"Nothing was selected: tick the deliveries to {self.action.value} first.")
        form = ReplayForm(initial=initial, principal=self.principal, action=self.action)
        if unusable := form.unusable(request.GET):
            messages.warning(request, UNUSABLE.format(", ".join(unusable)))
        return self._page(request, form)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ReplayForm(request.POST, principal=self.principal, action=self.action)
        job = self._drafted(request, form) if form.is_valid() else None
        return redirect("replay-job", job.pk) if job else self._page(request, form)

    def _drafted(self, request: HttpRequest, form: ReplayForm) -> ReplayJob | None:
        given, actor = form.cleaned_data, actor_of(request)
        try:
            criteria = naming.limited(given["criteria"], self.principal.tenant_ids(self.permission))
            return service.draft(criteria, actor, given["rate_per_s"], given["reason"], action=self.action)
        except CriteriaError as error:
            form.refuse(error)
            return None

    def _page(self, request: HttpRequest, form: ReplayForm) -> HttpResponse:
        return render(request, "console/replay_new.html", {"form": form, "doing": doing(self.action.value)})


class CancelNew(ReplayNew):
    permission = Permission.OPERATE
    action = ReplayAction.CANCEL


def _job(replay_id: UUID, principal: Principal) -> ReplayJob:
    """Raises Http404."""
    job = within(ReplayJob.objects.select_related("tenant"), principal).filter(pk=replay_id).first()
    if job is None:
        raise Http404
    return job
