"""The console's pages of replays: the list, one with its progress, a new one."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from audit.audited_admin import actor_of
from delivery.console.access import ConsoleView, htmx_of
from delivery.console.paging import Cursor, page_of
from delivery.console.replay_form import ReplayForm, initial_of
from delivery.console.views import LIVE_ID
from delivery.models import ReplayJob, ReplayState
from delivery.replays import naming, service
from delivery.replays.criteria import CriteriaError
from delivery.replays.preview import sample
from eventcenter.access.principal import Principal
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import require, within
from eventcenter.models import Heartbeat

SILENT_AFTER = timedelta(seconds=15)
DONE_WORDS = {"start": "Started.", "pause": "Paused.", "resume": "It goes on.", "cancel": "Cancelled."}


def has_runner() -> bool:
    """Whether a process works replays off."""
    return Heartbeat.objects.seen_since(timezone.now() - SILENT_AFTER).filter(role="replays").exists()


class ReplayList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        cursor = Cursor.of(request.GET)
        page = page_of(within(ReplayJob.objects.all(), self.principal), cursor)
        context = {"page": page, "replays": service.describe(page.rows), "is_newest": cursor.is_newest}
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_replays.html", context)
        return render(request, "console/replays.html", context)


class ReplayPage(ConsoleView):
    def get(self, request: HttpRequest, replay_id: UUID) -> HttpResponse:
        job = _job(replay_id, self.principal)
        [replay] = service.describe([job])
        is_running = job.state == ReplayState.RUNNING
        context = {
            "replay": replay,
            "job": job,
            "is_running": is_running,
            "is_draft": job.state == ReplayState.DRAFT,
            "needs_approval": service.why_approval(job.pk) if job.state == ReplayState.DRAFT else "",
            "no_runner": is_running and not has_runner(),
            "may_replay": self.principal.may(Permission.REPLAY, job.tenant_id),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_replay_job.html", context)
        if job.state == ReplayState.DRAFT:
            context["sample"] = sample(replay.criteria, job.until)
        return render(request, "console/replay_job.html", context)


class ReplayMove(ConsoleView):
    """POST only: start, pause, resume, cancel."""

    permission = Permission.REPLAY

    def post(self, request: HttpRequest, replay_id: UUID, action: str) -> HttpResponse:
        job = _job(replay_id, self.principal)
        require(self.principal, self.permission, job.tenant_id)
        if action not in service.MOVES:
            raise Http404
        refusal = service.act(replay_id, action, actor_of(request))
        if refusal:
            messages.error(request, refusal)
        else:
            messages.success(request, DONE_WORDS[action])
        return redirect("replay-job", replay_id)


class ReplayNew(ConsoleView):
    """GET shows the form with what the URL prefills; POST makes the preview, which starts nothing."""

    permission = Permission.REPLAY

    def get(self, request: HttpRequest) -> HttpResponse:
        initial = initial_of(request.GET, self.principal)
        if request.GET.get("pick") == "selected" and not initial.get("ids"):
            messages.warning(request, "Nothing was selected: tick the deliveries to replay first.")
        return self._page(request, ReplayForm(initial=initial, principal=self.principal))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ReplayForm(request.POST, principal=self.principal)
        if form.is_valid():
            given = form.cleaned_data
            try:
                criteria = naming.limited(given["criteria"], self.principal.tenant_ids(self.permission))
                job = service.draft(criteria, actor_of(request), given["rate_per_s"], given["reason"])
            except CriteriaError as error:
                form.refuse(error)
            else:
                return redirect("replay-job", job.pk)
        return self._page(request, form)

    def _page(self, request: HttpRequest, form: ReplayForm) -> HttpResponse:
        return render(request, "console/replay_new.html", {"form": form})


def _job(replay_id: UUID, principal: Principal) -> ReplayJob:
    """Raises Http404."""
    job = within(ReplayJob.objects.select_related("tenant"), principal).filter(pk=replay_id).first()
    if job is None:
        raise Http404
    return job
