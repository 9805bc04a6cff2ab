from __future__ import annotations

from django.urls import path

from eventcenter.views import PublishView

urlpatterns = [
    path("publish", PublishView.as_view(), name="publish"),
]
