"""Routing and endpoint settings as each process holds them: read from the database, followed by revision."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from django.db.models import F
from django.utils import timezone

from eventcenter import flags
from eventcenter.crypto import UnsealError, unseal
from eventcenter.follow import Followed
from eventcenter.standardwebhooks import SigningKey, decode_signing_key
from subscriptions.filters import FilterError, compile_filters
from subscriptions.matching import Route, RoutingTable, build
from subscriptions.models import Endpoint, EndpointSecret, Ordering, Subscription, Tenant
from subscriptions.templating import HOOK_URL, MASK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sink:
    """An endpoint as a worker needs it: opened secrets (newest first) and headers. Never logged, never in an error."""

    endpoint_id: int
    tenant_id: int
    tenant: str
    slug: str
    channel: str
    url: str
    content_mode: str
    headers: tuple[tuple[str, str], ...]
    secrets: tuple[SigningKey, ...]
    timeout_s: float
    state: str
    config: Mapping[str, object] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    template_params: Mapping[str, object] = field(default_factory=dict)
    rate_limit: float | None = None
    tenant_rate_limit: float | None = None
    max_in_flight: int | None = None
    envelope_v1: bool = False  # the tenant still gets the form from before CloudEvents, where no template shapes it
    secrets_unreadable: bool = False  # it has live secrets, or credentials, and none can be opened

    def __repr__(self) -> str:
        return f"Sink({self.tenant}/{self.slug})"


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What a worker holds: sinks by endpoint id; by subscription id retry policies (None: the standard one) and orderings.

    Of deleted ones too: their open deliveries still come to an end.
    """

    sinks: dict[int, Sink]
    policies: dict[int, dict[str, object] | None]
    orderings: dict[int, str] = field(default_factory=dict)  # of the ordered ones only


def _load_routing() -> RoutingTable:
    tenants = Tenant.objects.filter(active=True).values_list("slug", "id")
    # Forms keep a subscription's endpoint within its tenant; whatever got past them must not carry events to another.
    own = Subscription.objects.filter(endpoint__tenant=F("tenant"))
    active = own.filter(active=True, tenant__active=True).select_related("tenant", "endpoint")
    routes = ((row.tenant.slug, _route(row)) for row in active)
    return build(tenants, [(slug, route) for slug, route in routes if route is not None])


def _route(row: Subscription) -> Route | None:
    """Forms and YAML check filters before they are kept; one that got by must not stop everybody else's routing."""
    try:
        accepts = compile_filters(row.filters) if row.filters else None
    except FilterError as error:
        logger.error("subscription.filters_unusable", extra={"subscription_id": row.pk, "why": str(error)})
        return None
    types, tags = tuple(row.types), frozenset(row.tags)
    return Route(row.pk, row.endpoint_id, row.endpoint.lane, types, tags, accepts, row.ordering != Ordering.NONE)


def _load_delivery_settings() -> DeliverySettings:
    flags.states.reload()  # a moved flag is what may have brought us here
    secrets: dict[int, list[SigningKey]] = {}  # an endpoint with an empty list has secrets that cannot be opened
    for secret in EndpointSecret.objects.live(timezone.now()).order_by("-created_at", "-id"):
        secrets.setdefault(secret.endpoint_id, []).extend(_opened(secret))
    sinks = {
        row.pk: _sink(row, secrets.get(row.pk, []), secrets.get(row.pk) == [])
        for row in Endpoint.everything.select_related("tenant")
    }
    policies, orderings = {}, {}
    for pk, policy, ordering in Subscription.everything.values_list("id", "retry_policy", "ordering"):
        policies[pk] = policy
        if ordering != Ordering.NONE:
            orderings[pk] = ordering
    return DeliverySettings(sinks, policies, orderings)


def _opened(secret: EndpointSecret) -> list[SigningKey]:
    try:
        return [decode_signing_key(unseal(bytes(secret.sealed_secret), EndpointSecret.SECRET_PURPOSE))]
    except (UnsealError, ValueError) as error:
        logger.error("secret.unreadable", extra={"endpoint_id": secret.endpoint_id, "why": str(error)})
        return []


def _sink(row: Endpoint, secrets: list[SigningKey], unreadable: bool) -> Sink:
    credentials = open_credentials(row)
    return Sink(
        endpoint_id=row.pk,
        tenant_id=row.tenant_id,
        tenant=row.tenant.slug,
        slug=row.slug,
        channel=row.channel,
        url=credentials.get(HOOK_URL, row.url),
        content_mode=row.content_mode,
        headers=open_headers(row),
        secrets=tuple(secrets),
        timeout_s=row.timeout_s,
        state=row.state,
        config=row.config,
        credentials=credentials,
        template=row.template,
        template_params=row.template_params,
        rate_limit=row.rate_limit,
        tenant_rate_limit=row.tenant.rate_limit,
        max_in_flight=row.max_in_flight,
        envelope_v1=not flags.is_on(flags.Flag.EVENT_BUS_V2, row.tenant.slug),
        secrets_unreadable=unreadable or bool(row.sealed_credentials and not credentials),
    )


def masked_sink(row: Endpoint) -> Sink:
    """To show what is sent: the names of its headers and credentials are right, every value is MASK, and it signs nothing.

    The URL is the row's: one that is itself a secret has its host alone there.
    """
    sink = _sink(row, [], unreadable=False)
    headers = tuple((name, MASK) for name, _ in sink.headers)
    return replace(sink, url=row.url, headers=headers, credentials=dict.fromkeys(sink.credentials, MASK))


def open_headers(row: Endpoint) -> tuple[tuple[str, str], ...]:
    """The endpoint's custom headers. An unreadable seal gives none, and says so in the log."""
    if not row.sealed_headers:
        return ()
    try:
        pairs = json.loads(unseal(bytes(row.sealed_headers), Endpoint.HEADERS_PURPOSE))
    except UnsealError as error:
        logger.error("headers.unreadable", extra={"endpoint_id": row.pk, "why": str(error)})
        return ()
    return tuple((str(name), str(value)) for name, value in pairs)


def open_credentials(row: Endpoint) -> dict[str, str]:
    """The channel's secret settings. An unreadable seal gives none, and says so in the log."""
    if not row.sealed_credentials:
        return {}
    try:
        opened = json.loads(unseal(bytes(row.sealed_credentials), Endpoint.CREDENTIALS_PURPOSE))
    except UnsealError as error:
        logger.error("credentials.unreadable", extra={"endpoint_id": row.pk, "why": str(error)})
        return {}
    return {str(name): str(value) for name, value in opened.items()}


routing: Followed[RoutingTable] = Followed(_load_routing)
delivery_settings: Followed[DeliverySettings] = Followed(_load_delivery_settings)
