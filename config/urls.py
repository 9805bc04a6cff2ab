from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from delivery.metrics import metrics
from eventcenter.health_views import healthz, readyz
from subscriptions.schema_views import subscriptions_schema

urlpatterns = [
    path("", include("delivery.console.urls")),
    path("sign-in", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("sign-out", LogoutView.as_view(), name="logout"),
    path("internal/events/", include("delivery.api.urls")),
    path("schemas/subscriptions.json", subscriptions_schema, name="subscriptions-schema"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
