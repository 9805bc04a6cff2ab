"""The persons behind a caller: of a key, who made it; of a publish key, also who rotated it and so saw its secret."""

from __future__ import annotations

from audit.models import AuditEntry
from eventcenter.access.principal import Principal

KEY_PREFIX = "key:"
SECRET_SHOWN = ("publish_key.created", "publish_key.rotated")


def person_behind(principal: Principal) -> int | None:
    """None: nobody is known, as for a key that a command made. Of a publish key the trail says who made it; an API key
    comes with its maker."""
    if principal.user_id is not None or not principal.name.startswith(KEY_PREFIX):
        return principal.user_id
    target = f"publish_key:{principal.name.removeprefix(KEY_PREFIX)}"
    made = AuditEntry.objects.filter(action="publish_key.created", target=target).order_by("at").first()
    return made.actor_user_id if made else None


def people_behind(name: str) -> set[int]:
    """Everybody whom the trail shows to have seen the secret of a publish key, by the name it has there."""
    if not name.startswith(KEY_PREFIX):
        return set()
    shown = AuditEntry.objects.filter(
        action__in=SECRET_SHOWN, target=f"publish_key:{name.removeprefix(KEY_PREFIX)}", actor_user_id__isnull=False
    )
    return set(shown.values_list("actor_user_id", flat=True))
