"""What signing in leaves behind and nobody needs any more."""

from __future__ import annotations

import logging
from datetime import datetime

from django.contrib.sessions.models import Session

from subscriptions.sign_in.throttle import forget_old_attempts

logger = logging.getLogger(__name__)


def forget_old_sign_ins(now: datetime) -> None:
    """Sessions past their end, and failures past their lock. Safe to repeat."""
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    attempts = forget_old_attempts(now)
    if sessions or attempts:
        logger.info("sign_in.forgotten", extra={"sessions": sessions, "attempts": attempts})
