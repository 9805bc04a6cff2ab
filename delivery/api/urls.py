from __future__ import annotations

from django.urls import path

from delivery.api.deliveries import AttemptList, DeliveryDetail, DeliveryList
from delivery.api.publish import PublishOrReplayView
from delivery.api.replays import ReplayAction, ReplayDetail, ReplayList
from delivery.api.samples import EndpointTestSend, SubscriptionTestSend

urlpatterns = [
    path("publish", PublishOrReplayView.as_view(), name="publish"),
    path("deliveries", DeliveryList.as_view(), name="api-deliveries"),
    path("deliveries/<uuid:pk>", DeliveryDetail.as_view(), name="api-delivery"),
    path("deliveries/<uuid:pk>/attempts", AttemptList.as_view(), name="api-attempts"),
    path("endpoints/<int:pk>/test-send", EndpointTestSend.as_view(), name="api-endpoint-test-send"),
    path("subscriptions/<int:pk>/test-send", SubscriptionTestSend.as_view(), name="api-subscription-test-send"),
    path("replays", ReplayList.as_view(), name="replays-api"),
    path("replays/<uuid:replay_id>", ReplayDetail.as_view(), name="replay-api"),
    path("replays/<uuid:replay_id>/<slug:action>", ReplayAction.as_view(), name="replay-api-action"),
]
