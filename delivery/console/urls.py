from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from delivery.console.alerts import AlertAcknowledge, AlertList, AlertPage
from delivery.console.approvals import ApprovalList, ApprovalMove, ApprovalNew, ApprovalPage
from delivery.console.audit_trail import AuditExport, AuditTrail, AuditVerify
from delivery.console.feed import FeedList
from delivery.console.objectives import ObjectivesPage
from delivery.console.replays import ReplayList, ReplayMove, ReplayNew, ReplayPage
from delivery.console.runbook import RunbookPage
from delivery.console.sample_send import EndpointTestSend
from delivery.console.system import SystemPage
from delivery.console.views import DeliveryDetail, DeliveryList, DeliveryPassOver, DeliveryReplay
from delivery.console.work_orders import WorkOrderList, WorkOrderMove, WorkOrderNew, WorkOrderPage

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="deliveries"), name="home"),
    path("console/deliveries", DeliveryList.as_view(), name="deliveries"),
    path("console/deliveries/<uuid:delivery_id>", DeliveryDetail.as_view(), name="delivery"),
    path("console/deliveries/<uuid:delivery_id>/replay", DeliveryReplay.as_view(), name="delivery-replay"),
    path("console/deliveries/<uuid:delivery_id>/pass-over", DeliveryPassOver.as_view(), name="delivery-pass-over"),
    path("console/alerts", AlertList.as_view(), name="alerts"),
    path("console/alerts/<uuid:alert_id>", AlertPage.as_view(), name="alert"),
    path("console/alerts/<uuid:alert_id>/acknowledge", AlertAcknowledge.as_view(), name="alert-acknowledge"),
    path("alerts", RedirectView.as_view(pattern_name="alerts", query_string=True)),
    path("alerts/<uuid:alert_id>", AlertPage.as_view()),
    path("console/feed", FeedList.as_view(), name="feed"),
    path("console/objectives", ObjectivesPage.as_view(), name="objectives"),
    path("console/endpoints/<int:endpoint_id>/test", EndpointTestSend.as_view(), name="endpoint-test"),
    path("console/replays", ReplayList.as_view(), name="replays"),
    path("console/replays/new", ReplayNew.as_view(), name="replay-new"),
    path("console/replays/<uuid:replay_id>", ReplayPage.as_view(), name="replay-job"),
    path("console/replays/<uuid:replay_id>/<slug:action>", ReplayMove.as_view(), name="replay-move"),
    path("console/approvals", ApprovalList.as_view(), name="approvals"),
    path("console/approvals/new", ApprovalNew.as_view(), name="approval-new"),
    path("console/approvals/<uuid:approval_id>", ApprovalPage.as_view(), name="approval"),
    path("console/approvals/<uuid:approval_id>/<slug:action>", ApprovalMove.as_view(), name="approval-move"),
    path("console/audit", AuditTrail.as_view(), name="audit-trail"),
    path("console/audit/export", AuditExport.as_view(), name="audit-export"),
    path("console/audit/verify", AuditVerify.as_view(), name="audit-verify"),
    path("console/system", SystemPage.as_view(), name="system"),
    path("runbook", RunbookPage.as_view(), name="runbook"),
    path("console/work-orders", WorkOrderList.as_view(), name="work-orders"),
    path("console/work-orders/new", WorkOrderNew.as_view(), name="work-order-new"),
    path("console/work-orders/<uuid:order_id>", WorkOrderPage.as_view(), name="work-order"),
    path("console/work-orders/<uuid:order_id>/<slug:action>", WorkOrderMove.as_view(), name="work-order-move"),
]
