from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from delivery.console.alerts import AlertAcknowledge, AlertList, AlertPage
from delivery.console.approvals import ApprovalList, ApprovalMove, ApprovalNew, ApprovalPage
from delivery.console.audit_trail import AuditExport, AuditTrail, AuditVerify
from delivery.console.deliveries import DeliveryExport, DeliveryList
from delivery.console.events import EventBody, EventList, EventPage
from delivery.console.feed import FeedList
from delivery.console.icon import Favicon
from delivery.console.objectives import ObjectivesPage
from delivery.console.overview.view import Overview
from delivery.console.rejected import RejectedList, RejectedPage, RejectedReingest, RejectedReingestAll, RejectedValue
from delivery.console.replays import CancelNew, ReplayList, ReplayMove, ReplayNew, ReplayPage
from delivery.console.runbook import RunbookPage
from delivery.console.sample_send import EndpointTestSend
from delivery.console.search import SearchPage
from delivery.console.subscribers.actions import SubscriberPause, SubscriberProbe, SubscriberResume, SubscriberRotate
from delivery.console.subscribers.editing import SubscriptionEdit, SubscriptionNew
from delivery.console.subscribers.listing import SubscriberList
from delivery.console.subscribers.page import SubscriberPage, SubscriberYaml
from delivery.console.system import SystemPage
from delivery.console.tenant_switch import TenantSwitch
from delivery.console.views import (
    DeliveryCancel,
    DeliveryCurl,
    DeliveryDetail,
    DeliveryPassOver,
    DeliveryReplay,
)
from delivery.console.work_orders import WorkOrderList, WorkOrderMove, WorkOrderNew, WorkOrderPage

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="overview", query_string=True), name="home"),
    path("favicon.ico", Favicon.as_view(), name="favicon"),
    path("console/", Overview.as_view(), name="overview"),
    path("console/search", SearchPage.as_view(), name="search"),
    path("console/tenant", TenantSwitch.as_view(), name="tenant-switch"),
    path("console/deliveries", DeliveryList.as_view(), name="deliveries"),
    path("console/deliveries/export", DeliveryExport.as_view(), name="deliveries-export"),
    path("console/deliveries/cancel", CancelNew.as_view(), name="cancel-new"),
    path("console/deliveries/<uuid:delivery_id>", DeliveryDetail.as_view(), name="delivery"),
    path("console/deliveries/<uuid:delivery_id>/curl", DeliveryCurl.as_view(), name="delivery-curl"),
    path("console/deliveries/<uuid:delivery_id>/cancel", DeliveryCancel.as_view(), name="delivery-cancel"),
    path("console/deliveries/<uuid:delivery_id>/replay", DeliveryReplay.as_view(), name="delivery-replay"),
    path("console/deliveries/<uuid:delivery_id>/pass-over", DeliveryPassOver.as_view(), name="delivery-pass-over"),
    path("console/events", EventList.as_view(), name="events"),
    path("console/events/<uuid:event_id>", EventPage.as_view(), name="event"),
    path("console/events/<uuid:event_id>/body", EventBody.as_view(), name="event-body"),
    path("console/events/rejected", RejectedList.as_view(), name="rejected-events"),
    path("console/events/rejected/reingest", RejectedReingestAll.as_view(), name="rejected-reingest-all"),
    path("console/events/rejected/<uuid:rejected_id>", RejectedPage.as_view(), name="rejected-event"),
    path("console/events/rejected/<uuid:rejected_id>/value", RejectedValue.as_view(), name="rejected-value"),
    path("console/events/rejected/<uuid:rejected_id>/reingest", RejectedReingest.as_view(), name="rejected-reingest"),
    path("console/alerts", AlertList.as_view(), name="alerts"),
    path("console/alerts/<uuid:alert_id>", AlertPage.as_view(), name="alert"),
    path("console/alerts/<uuid:alert_id>/acknowledge", AlertAcknowledge.as_view(), name="alert-acknowledge"),
    path("alerts", RedirectView.as_view(pattern_name="alerts", query_string=True)),
    path("alerts/<uuid:alert_id>", AlertPage.as_view()),
    path("console/feed", FeedList.as_view(), name="feed"),
    path("console/objectives", ObjectivesPage.as_view(), name="objectives"),
    path("console/endpoints/<int:endpoint_id>/test", EndpointTestSend.as_view(), name="endpoint-test"),
    path("console/subscribers", SubscriberList.as_view(), name="subscribers"),
    path("console/subscribers/<int:endpoint_id>", SubscriberPage.as_view(), name="subscriber"),
    path("console/subscribers/<int:endpoint_id>/pause", SubscriberPause.as_view(), name="subscriber-pause"),
    path("console/subscribers/<int:endpoint_id>/resume", SubscriberResume.as_view(), name="subscriber-resume"),
    path("console/subscribers/<int:endpoint_id>/probe", SubscriberProbe.as_view(), name="subscriber-probe"),
    path("console/subscribers/<int:endpoint_id>/rotate", SubscriberRotate.as_view(), name="subscriber-rotate"),
    path("console/subscribers/<int:endpoint_id>/yaml", SubscriberYaml.as_view(), name="subscriber-yaml"),
    path("console/subscribers/<int:endpoint_id>/new", SubscriptionNew.as_view(), name="subscription-new"),
    path("console/subscriptions/<int:subscription_id>", SubscriptionEdit.as_view(), name="subscription-edit"),
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
