"""The admin's pages of this app; importing it registers them."""

from __future__ import annotations

from subscriptions.admin.endpoint import EndpointAdmin
from subscriptions.admin.subscription import SubscriptionAdmin
from subscriptions.admin.tenant import TenantAdmin

__all__ = ["EndpointAdmin", "SubscriptionAdmin", "TenantAdmin"]
