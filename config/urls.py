from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from eventcenter.health_views import healthz, readyz

urlpatterns = [
    path("internal/events/", include("eventcenter.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
