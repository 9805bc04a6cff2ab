"""Roles that come and go with the groups of the identity provider."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from django.contrib.auth.models import User

from audit.trail import Actor
from eventcenter.access import members
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from subscriptions.sign_in.oidc.person import Grant, governed, granted

logger = logging.getLogger(__name__)

ACTOR = Actor("system:oidc")


def follow_groups(user: User, groups: Collection[str], role_map: Iterable[tuple[str, str, str]]) -> None:
    """Gives what the groups give, takes what the map names and they do not give. In the caller's transaction.

    A role that the map does not name was given by a person, and stays.
    """
    rules = tuple(role_map)
    given = granted(groups, rules)
    for row in Membership.objects.filter(user=user).select_related("tenant", "user"):
        grant = Grant(row.tenant.slug if row.tenant else None, row.role)
        if grant in governed(rules) and grant not in given:
            members.revoke(row, ACTOR)
    tenants = dict(
        Tenant.objects.filter(slug__in=[one.tenant for one in given if one.tenant]).values_list("slug", "pk")
    )
    for grant in sorted(given, key=lambda one: (one.tenant or "", one.role)):
        if grant.tenant is not None and grant.tenant not in tenants:
            logger.warning("sign_in.unknown_tenant", extra={"tenant": grant.tenant})
            continue
        members.grant(user, tenants[grant.tenant] if grant.tenant else None, Role(grant.role), ACTOR)
