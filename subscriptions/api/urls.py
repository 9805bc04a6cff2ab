from __future__ import annotations

from django.urls import path

from subscriptions.api.dry_run import RuleDryRun, SubscriptionDryRun
from subscriptions.api.endpoints import EndpointDetail, EndpointList, EndpointPause, EndpointResume
from subscriptions.api.secrets import SecretList, SecretRevoke, SecretRotate
from subscriptions.api.subscriptions import (
    SubscriptionDetail,
    SubscriptionList,
    SubscriptionPause,
    SubscriptionResume,
)

urlpatterns = [
    path("subscriptions", SubscriptionList.as_view(), name="api-subscriptions"),
    path("subscriptions/dry-run", RuleDryRun.as_view(), name="api-rule-dry-run"),
    path("subscriptions/<int:pk>", SubscriptionDetail.as_view(), name="api-subscription"),
    path("subscriptions/<int:pk>/pause", SubscriptionPause.as_view(), name="api-subscription-pause"),
    path("subscriptions/<int:pk>/resume", SubscriptionResume.as_view(), name="api-subscription-resume"),
    path("subscriptions/<int:pk>/dry-run", SubscriptionDryRun.as_view(), name="api-subscription-dry-run"),
    path("endpoints", EndpointList.as_view(), name="api-endpoints"),
    path("endpoints/<int:pk>", EndpointDetail.as_view(), name="api-endpoint"),
    path("endpoints/<int:pk>/pause", EndpointPause.as_view(), name="api-endpoint-pause"),
    path("endpoints/<int:pk>/resume", EndpointResume.as_view(), name="api-endpoint-resume"),
    path("endpoints/<int:pk>/secrets", SecretList.as_view(), name="api-secrets"),
    path("endpoints/<int:pk>/secrets/rotate", SecretRotate.as_view(), name="api-secret-rotate"),
    path("endpoints/<int:pk>/secrets/<int:secret_id>/revoke", SecretRevoke.as_view(), name="api-secret-revoke"),
]
