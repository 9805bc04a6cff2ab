"""The person behind a caller: of a key, who made it."""

from __future__ import annotations

from audit.models import AuditEntry
from eventcenter.access.principal import Principal

KEY_PREFIX = "key:"


def person_behind(principal: Principal) -> int | None:
    """None: nobody is known, as for a key that a command made. Of a publish key the trail says who made it; an API key
    comes with its maker."""
    if principal.user_id is not None or not principal.name.startswith(KEY_PREFIX):
        return principal.user_id
    target = f"publish_key:{principal.name.removeprefix(KEY_PREFIX)}"
    made = AuditEntry.objects.filter(action="publish_key.created", target=target).order_by("at").first()
    return made.actor_user_id if made else None
