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
from delivery.replays import service
from delivery.replays.criteria import CriteriaError
from delivery.replays.preview import sample
from eventcenter.models import Heartbeat

SILENT_AFTER = timedelta(seconds=15)
DONE_WORDS = {"start": "Started.", "pause": "Paused.", "resume": "It goes on.", "cancel": "Cancelled."}


def has_runner() -> bool:
    """Whether a process works replays off."""
    return Heartbeat.objects.seen_since(timezone.now() - SILENT_AFTER).filter(role="replays").exists()


class ReplayList(ConsoleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        cursor = Cursor.of(request.GET)
        page = page_of(ReplayJob.objects.all(), cursor)
        context = {"page": page, "replays": service.describe(page.rows), "is_newest": cursor.is_newest}
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_replays.html", context)
        return render(request, "console/replays.html", context)


class ReplayPage(ConsoleView):
    def get(self, request: HttpRequest, replay_id: UUID) -> HttpResponse:
        job = ReplayJob.objects.select_related("tenant").filter(pk=replay_id).first()
        if job is None:
            raise Http404
        [replay] = service.describe([job])
        is_running = job.state == ReplayState.RUNNING
        context = {
            "replay": replay,
            "job": job,
            "is_running": is_running,
            "is_draft": job.state == ReplayState.DRAFT,
            "no_runner": is_running and not has_runner(),
        }
        if htmx_of(request).target == LIVE_ID:
            return render(request, "console/_replay_job.html", context)
        if job.state == ReplayState.DRAFT:
            context["sample"] = sample(replay.criteria, job.until)
        return render(request, "console/replay_job.html", context)


class ReplayMove(ConsoleView):
    """POST only: start, pause, resume, cancel."""

    def post(self, request: HttpRequest, replay_id: UUID, action: str) -> HttpResponse:
        if action not in service.MOVES or not ReplayJob.objects.filter(pk=replay_id).exists():
            raise Http404
        refusal = service.act(replay_id, action, actor_of(request))
        if refusal:
            messages.error(request, refusal)
        else:
            messages.success(request, DONE_WORDS[action])
        return redirect("replay-job", replay_id)


class ReplayNew(ConsoleView):
    """GET shows the form with what the URL prefills; POST makes the preview, which starts nothing."""

    def get(self, request: HttpRequest) -> HttpResponse:
        initial = initial_of(request.GET)
        if request.GET.get("pick") == "selected" and not initial.get("ids"):
            messages.warning(request, "Nothing was selected: tick the deliveries to replay first.")
        return self._page(request, ReplayForm(initial=initial))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ReplayForm(request.POST)
        if form.is_valid():
            given = form.cleaned_data
            try:
                job = service.draft(given["criteria"], actor_of(request), given["rate_per_s"], given["reason"])
            except CriteriaError as error:
                form.refuse(error)
            else:
                return redirect("replay-job", job.pk)
        return self._page(request, form)

    def _page(self, request: HttpRequest, form: ReplayForm) -> HttpResponse:
        return render(request, "console/replay_new.html", {"form": form})
