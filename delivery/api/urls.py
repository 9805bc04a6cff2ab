from __future__ import annotations

from django.urls import path

from delivery.api import work_orders
from delivery.api.approvals import ApprovalApprove, ApprovalDetail, ApprovalList, ApprovalReject, ApprovalWithdraw
from delivery.api.deliveries import AttemptList, DeliveryCancel, DeliveryDetail, DeliveryList
from delivery.api.publish import PublishOrReplayView
from delivery.api.replays import ReplayAction, ReplayDetail, ReplayList
from delivery.api.samples import EndpointTestSend, SubscriptionTestSend

urlpatterns = [
    path("publish", PublishOrReplayView.as_view(), name="publish"),
    path("deliveries", DeliveryList.as_view(), name="api-deliveries"),
    path("deliveries/<uuid:pk>", DeliveryDetail.as_view(), name="api-delivery"),
    path("deliveries/<uuid:pk>/cancel", DeliveryCancel.as_view(), name="api-delivery-cancel"),
    path("deliveries/<uuid:pk>/attempts", AttemptList.as_view(), name="api-attempts"),
    path("endpoints/<int:pk>/test-send", EndpointTestSend.as_view(), name="api-endpoint-test-send"),
    path("subscriptions/<int:pk>/test-send", SubscriptionTestSend.as_view(), name="api-subscription-test-send"),
    path("replays", ReplayList.as_view(), name="replays-api"),
    path("replays/<uuid:replay_id>", ReplayDetail.as_view(), name="replay-api"),
    path("replays/<uuid:replay_id>/<slug:action>", ReplayAction.as_view(), name="replay-api-action"),
    path("approvals", ApprovalList.as_view(), name="approvals-api"),
    path("approvals/<uuid:approval_id>", ApprovalDetail.as_view(), name="approval-api"),
    path("approvals/<uuid:approval_id>/approve", ApprovalApprove.as_view(), name="approval-api-approve"),
    path("approvals/<uuid:approval_id>/reject", ApprovalReject.as_view(), name="approval-api-reject"),
    path("approvals/<uuid:approval_id>/withdraw", ApprovalWithdraw.as_view(), name="approval-api-withdraw"),
    path("work-orders", work_orders.WorkOrderList.as_view(), name="work-orders-api"),
    path("work-orders/<uuid:order_id>", work_orders.WorkOrderDetail.as_view(), name="work-order-api"),
    path("work-orders/<uuid:order_id>/start", work_orders.WorkOrderStart.as_view(), name="work-order-api-start"),
    path("work-orders/<uuid:order_id>/stop", work_orders.WorkOrderStop.as_view(), name="work-order-api-stop"),
    path("work-orders/<uuid:order_id>/reopen", work_orders.WorkOrderReopen.as_view(), name="work-order-api-reopen"),
    path("work-orders/<uuid:order_id>/close", work_orders.WorkOrderClose.as_view(), name="work-order-api-close"),
    path("work-orders/<uuid:order_id>/assign", work_orders.WorkOrderAssign.as_view(), name="work-order-api-assign"),
    path(
        "work-orders/<uuid:order_id>/comments", work_orders.WorkOrderComments.as_view(), name="work-order-api-comments"
    ),
    path("work-orders/<uuid:order_id>/links", work_orders.WorkOrderLinks.as_view(), name="work-order-api-links"),
]
