"""What deliveries do to their endpoints: services that change an endpoint's state, each with its audit entry."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction

from audit.trail import Actor, record
from subscriptions.models import Endpoint, EndpointState

logger = logging.getLogger(__name__)

GONE_REASON = "The receiver answered 410 Gone."


def disable_gone(endpoint_id: int, delivery_id: UUID) -> bool:
    """Standard Webhooks: 410 ends the endpoint. False when it was not enabled any more."""
    with transaction.atomic():
        enabled = Endpoint.objects.filter(pk=endpoint_id).exclude(state=EndpointState.DISABLED)
        if not enabled.update(state=EndpointState.DISABLED, state_reason=GONE_REASON):
            return False
        endpoint = Endpoint.objects.select_related("tenant").get(pk=endpoint_id)
        details: dict[str, object] = {"reason": GONE_REASON, "delivery": str(delivery_id)}
        record(endpoint.tenant.slug, Actor("system:worker"), "endpoint.disabled", f"endpoint:{endpoint_id}", details)
    logger.warning("endpoint.disabled", extra={"endpoint_id": endpoint_id, "delivery_id": str(delivery_id)})
    return True
