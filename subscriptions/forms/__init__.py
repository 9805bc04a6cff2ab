"""The admin's forms: what models alone cannot check, each problem at its field and in words."""

from __future__ import annotations

from subscriptions.forms.endpoint import EndpointForm, endpoint_form
from subscriptions.forms.subscription import SubscriptionForm

__all__ = ["EndpointForm", "SubscriptionForm", "endpoint_form"]
