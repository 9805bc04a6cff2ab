"""The admin's forms: what models alone cannot check, each problem at its field and in words."""

from __future__ import annotations

from subscriptions.forms.endpoint import EndpointForm, endpoint_form
from subscriptions.forms.subscription import OwnSubscriptionForm, SubscriptionForm

__all__ = ["EndpointForm", "OwnSubscriptionForm", "SubscriptionForm", "endpoint_form"]
