"""Feature flags by tenant: django-waffle's rows, held by each process and followed within 2 seconds."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from eventcenter.follow import Followed
from eventcenter.models import FeatureFlag


class Flag(StrEnum):
    """What a deployment may switch, for everybody or for chosen tenants."""

    EVENT_BUS_V2 = "event-bus-v2"  # subscribers get CloudEvents; off: the v1 JSON envelope
    PLUGIN_RELEASE_WEBHOOK = "plugin-release-webhook"  # a forge's release webhooks are taken
    AUDIT_STREAMING = "audit-streaming"  # audit entries go to a Kafka topic


# What a flag is while its row is missing; its migration made the row so.
AS_SHIPPED: Mapping[Flag, bool] = {
    Flag.EVENT_BUS_V2: True,
    Flag.PLUGIN_RELEASE_WEBHOOK: True,
    Flag.AUDIT_STREAMING: False,
}

State = bool | frozenset[str]  # of everybody, or the slugs of the tenants that have it


def _load() -> dict[Flag, State]:
    rows = {row.name: row for row in FeatureFlag.objects.prefetch_related("tenants")}
    return {flag: _state(rows[flag]) if flag in rows else AS_SHIPPED[flag] for flag in Flag}


def _state(row: FeatureFlag) -> State:
    if row.everyone is not None:
        return row.everyone
    return frozenset(tenant.slug for tenant in row.tenants.all())


states: Followed[dict[Flag, State]] = Followed(_load)


def is_on(flag: Flag, tenant_slug: str) -> bool:
    """Whether the tenant has it. `everyone` of the row decides if set, even against a listed tenant.

    Raises ValueError for a name that is not a Flag.
    """
    state = states.get()[Flag(flag)]
    return state if isinstance(state, bool) else tenant_slug in state
