from __future__ import annotations

from django.urls import path

from delivery.api.publish import PublishOrReplayView
from delivery.api.replays import ReplayAction, ReplayDetail, ReplayList

urlpatterns = [
    path("publish", PublishOrReplayView.as_view(), name="publish"),
    path("replays", ReplayList.as_view(), name="replays-api"),
    path("replays/<uuid:replay_id>", ReplayDetail.as_view(), name="replay-api"),
    path("replays/<uuid:replay_id>/<slug:action>", ReplayAction.as_view(), name="replay-api-action"),
]
