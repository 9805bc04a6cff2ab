from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from audit.accounts import OwnPasswordView
from delivery.telemetry.exposition import metrics
from eventcenter.health_views import healthz, readyz
from subscriptions.schema_views import subscriptions_schema
from subscriptions.sign_in import views as sign_in
from subscriptions.sign_in.oidc import views as oidc

urlpatterns = [
    path("", include("delivery.console.urls")),
    path("sign-in", sign_in.SignIn.as_view(), name="login"),
    path("sign-in/oidc", oidc.OidcStart.as_view(), name="oidc-start"),
    path("sign-in/oidc/callback", oidc.OidcCallback.as_view(), name="oidc-callback"),
    path("sign-out", sign_in.SignOut.as_view(), name="logout"),
    path("signed-out", sign_in.SignedOut.as_view(), name="signed-out"),
    path("internal/events/adapters/", include("eventcenter.adapters.urls")),
    path("internal/events/", include("delivery.api.urls")),
    path("internal/events/", include("subscriptions.api.urls")),
    path("internal/events/", include("eventcenter.api.urls")),
    # The admin's own two are never reached: there is one way in and one way out.
    path("admin/login/", sign_in.AdminSignIn.as_view(), name="admin-sign-in"),
    path("admin/logout/", sign_in.SignOut.as_view(), name="admin-sign-out"),
    path("schemas/subscriptions.json", subscriptions_schema, name="subscriptions-schema"),
    path("admin/password_change/", admin.site.admin_view(OwnPasswordView.as_view()), name="admin-own-password"),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
handler404 = "eventcenter.api.missing.not_found"
handler500 = "eventcenter.api.missing.failed"
