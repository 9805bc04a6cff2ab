"""Roles in the words of Django's own permissions, which its admin asks for: "subscriptions.change_endpoint"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model

from eventcenter.access.principal import Principal, of_user
from eventcenter.access.roles import Permission

# By model: what one needs to see a row and to add or change one. Nothing is deleted in the admin but roles and alert rules.
Needs = tuple[Permission, Permission | None]
BY_TENANT: Mapping[str, Needs] = {
    "audit.auditentry": (Permission.ADMINISTER, None),
    "delivery.alert": (Permission.VIEW, None),
    "delivery.alertcontact": (Permission.ADMINISTER, Permission.ADMINISTER),
    "delivery.alertrule": (Permission.VIEW, Permission.ADMINISTER),
    "delivery.approval": (Permission.VIEW, None),
    "delivery.breaker": (Permission.VIEW, Permission.OPERATE),
    "delivery.delivery": (Permission.VIEW, None),
    "delivery.escalation": (Permission.VIEW, None),
    "delivery.feeditem": (Permission.VIEW, None),
    "delivery.replayjob": (Permission.VIEW, None),
    "delivery.workorder": (Permission.VIEW, None),
    "delivery.workordercomment": (Permission.VIEW, None),
    "eventcenter.adapter": (Permission.VIEW, Permission.ADMINISTER),
    "eventcenter.apikey": (Permission.ADMINISTER, Permission.ADMINISTER),
    "eventcenter.event": (Permission.VIEW, None),
    "eventcenter.membership": (Permission.ADMINISTER, Permission.ADMINISTER),
    "eventcenter.publishkey": (Permission.ADMINISTER, Permission.ADMINISTER),
    "eventcenter.rejectedevent": (Permission.VIEW, None),
    "subscriptions.endpoint": (Permission.VIEW, Permission.ADMINISTER),
    "subscriptions.endpointsecret": (Permission.VIEW, None),
    "subscriptions.subscription": (Permission.VIEW, Permission.ADMINISTER),
    "subscriptions.tenant": (Permission.VIEW, None),
}
# What belongs to no tenant: everybody with a role may see it, or the platform's people alone; they alone change it.
FOR_ALL = frozenset({"eventcenter.eventtype"})
OF_PLATFORM: Mapping[str, Needs] = {
    "eventcenter.featureflag": (Permission.VIEW, Permission.ADMINISTER),
    "subscriptions.tenant": (Permission.VIEW, Permission.ADMINISTER),
}
DELETABLE = frozenset({"delivery.alertrule", "eventcenter.membership"})
KEPT_AS = "_event_center_principal"


class RoleBackend(BaseBackend):
    """Answers for people with roles; superusers need no answer. With an object: for that object's tenant."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Model | None = None) -> bool:
        app, _, codename = perm.partition(".")
        verb, _, model = codename.partition("_")
        return allowed(_principal(user_obj), verb, f"{app}.{model}", obj)

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        labels = [label for label in (*BY_TENANT, *OF_PLATFORM, *FOR_ALL) if label.startswith(f"{app_label}.")]
        principal = _principal(user_obj)
        return any(allowed(principal, "view", label, None) for label in labels)


def allowed(principal: Principal, verb: str, label: str, obj: Model | None) -> bool:
    """Pure. `verb`: view, add, change or delete; `label`: app.model, as in the tables above."""
    if verb == "delete" and label not in DELETABLE:
        return False
    if label in FOR_ALL:
        return verb == "view" and principal.may_anywhere(Permission.VIEW)
    if label in OF_PLATFORM and _needed(OF_PLATFORM[label], verb) in principal.everywhere:
        return True
    needed = _needed(BY_TENANT[label], verb) if label in BY_TENANT else None
    if needed is None:
        return False
    return principal.may_anywhere(needed) if obj is None else principal.may(needed, tenant_of(obj))


def tenant_of(obj: Any) -> int | None:
    """The id of the tenant whose it is; None: the platform's."""
    if obj._meta.label_lower == "subscriptions.tenant":
        return int(obj.pk) if obj.pk else None
    found = getattr(obj, "tenant_id", None)
    return found if found is not None or not hasattr(obj, "endpoint") else getattr(obj.endpoint, "tenant_id", None)


def _needed(needs: Needs, verb: str) -> Permission | None:
    return needs[0] if verb == "view" else needs[1]


def _principal(user: Any) -> Principal:
    """Looked up once a request: Django makes a new user object for each."""
    kept = getattr(user, KEPT_AS, None)
    if kept is None:
        kept = of_user(user)
        setattr(user, KEPT_AS, kept)
    assert isinstance(kept, Principal)
    return kept
