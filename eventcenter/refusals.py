"""How often a publish was refused because of its proof: the publisher's side of signature errors, counted by the minute.

A refusal has no transaction of its own to roll back: no request of ours runs in one (ATOMIC_REQUESTS is off), and who is
asking is settled before anything else is done. However many refusals there are, they are a row a minute, tenant, reason and
process: a stranger chooses none of these, since a key that is not known counts for tenant 0.
"""

from __future__ import annotations

import logging
from datetime import datetime
from enum import StrEnum

from django.db import Error

from eventcenter import row_security, store
from eventcenter.adapters.message import Proof
from eventcenter.standardwebhooks import SignatureFault
from eventcenter.worker import process_shard

logger = logging.getLogger(__name__)

NO_TENANT = 0


class RefusalReason(StrEnum):
    UNKNOWN_KEY = "unknown_key"  # or one that is not active, or whose tenant is not
    MISSING = "missing"  # no key is named, or a header of the proof is not there
    WRONG = "wrong"  # it does not fit the body and the secret
    STALE = "stale"  # signed more than five minutes ago, or ahead of our clock


BY_FAULT = {
    SignatureFault.MISSING_HEADER: RefusalReason.MISSING,
    SignatureFault.BAD_TIMESTAMP: RefusalReason.WRONG,
    SignatureFault.STALE: RefusalReason.STALE,
    SignatureFault.FROM_THE_FUTURE: RefusalReason.STALE,
    SignatureFault.BAD_SIGNATURE: RefusalReason.WRONG,
}
BY_PROOF = {
    Proof.MISSING: RefusalReason.MISSING,
    Proof.WRONG: RefusalReason.WRONG,
    Proof.STALE: RefusalReason.STALE,
}


def count(reason: RefusalReason, tenant_id: int = NO_TENANT) -> None:
    """One more. Whose it is need not be anybody whom this request may see. A count that cannot be written is logged: the
    refusal itself is what matters to the caller."""
    try:
        with row_security.unscoped():
            store.add_publish_refusal(tenant_id, reason.value, process_shard())
    except Error:
        logger.exception("publish.refusal_not_counted", extra={"reason": reason.value, "tenant_id": tenant_id})


def fold_days(before: datetime) -> int:
    """Minutes before that time become a row a day, so that sums stay what they are. Returns how many rows went."""
    return store.fold_publish_refusals(before)
