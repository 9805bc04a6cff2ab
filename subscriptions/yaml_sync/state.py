"""A row, and what the file says of it, in the same terms: what is compared, shown, kept and exported. Pure but for seals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from subscriptions.channels.checks import with_defaults, without_defaults
from subscriptions.channels.registry import spec_of
from subscriptions.models import Endpoint, Subscription, Tenant
from subscriptions.retry_policy import NAME, STANDARD
from subscriptions.routing import open_credentials, open_headers
from subscriptions.templating import HOOK_URL, TEMPLATES
from subscriptions.yaml_sync import variables
from subscriptions.yaml_sync.endpoint import EndpointSettings, plain_fields
from subscriptions.yaml_sync.spec import EndpointSpec, SubscriptionSpec, TenantSpec

# A setting, parameter or header is named by its place in the file: settings.topic, headers.authorization.
SETTINGS, PARAMS, HEADERS = "settings", "template_params", "headers"
URL = "url"  # among the plain values; among the secrets where it is one (subscriptions.templating.keep_url)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class State:
    """Keys are paths within the row's part of the file. `written`: the texts of the file that hold variables, by key."""

    plain: Mapping[str, object]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    written: Mapping[str, str] = field(default_factory=dict)


def tenant_state(row: Tenant) -> State:
    return State({"name": row.name, "rate_limit": row.rate_limit})


def wanted_tenant(spec: TenantSpec) -> State:
    return State({"name": spec.name, "rate_limit": spec.rate_limit})


def endpoint_state(row: Endpoint) -> State:
    """A setting that is not set counts as its default, and a template's parameter that is its default as not set."""
    spec, template = spec_of(row.channel), TEMPLATES.get(row.template)
    config, params = _given(row.config), _given(row.template_params)
    config = with_defaults(plain_fields(spec.fields), config) if spec else config
    params = without_defaults(plain_fields(template.fields), params) if template else params
    opened = open_credentials(row)
    hook = opened.pop(HOOK_URL, "")
    plain: dict[str, object] = {
        "name": row.name,
        "channel": row.channel,
        "url": "" if hook else row.url,
        "template": row.template,
        "content_mode": row.content_mode,
        "timeout_s": row.timeout_s,
        "lane": row.lane,
        "rate_limit": row.rate_limit,
        "max_in_flight": row.max_in_flight,
    }
    credentials = _below(PARAMS if row.template else SETTINGS, opened) | ({URL: hook} if hook else {})
    return State(
        plain | _below(SETTINGS, config) | _below(PARAMS, params),
        _below(HEADERS, dict(open_headers(row))) | credentials,
    )


def wanted_endpoint(spec: EndpointSpec) -> State:
    way = spec.way
    plain: dict[str, object] = {
        "name": spec.name,
        "channel": way.channel,
        "url": "" if way.has_secret_url else way.url,
        "template": way.template,
        "content_mode": way.content_mode,
        "timeout_s": way.timeout_s,
        "lane": way.lane,
        "rate_limit": way.rate_limit,
        "max_in_flight": way.max_in_flight,
    }
    secrets = _below(HEADERS, dict(way.headers))
    secrets |= _below(SETTINGS, way.settings.credentials) | _below(PARAMS, way.params.credentials)
    if way.has_secret_url:
        secrets[URL] = way.url
    below = _below(SETTINGS, way.settings.config) | _below(PARAMS, way.params.config)
    return State(plain | below, secrets, _written(way))


def subscription_state(row: Subscription) -> State:
    return State(
        {
            "endpoint": row.endpoint.slug,
            "types": list(row.types),
            "tags": list(row.tags),
            "filters": row.filters,
            "ordering": row.ordering,
            "active": row.active,
            "retry_policy": _whole_policy(row.retry_policy),
        }
    )


def wanted_subscription(spec: SubscriptionSpec, endpoint: str) -> State:
    return State(
        {
            "endpoint": endpoint,
            "types": list(spec.types),
            "tags": list(spec.tags),
            "filters": spec.filters,
            "ordering": spec.ordering,
            "active": spec.active,
            "retry_policy": _whole_policy(spec.retry_policy),
        }
    )


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _whole_policy(stored: Mapping[str, object] | None) -> dict[str, object]:
    """With its name: None, and a policy without one, are the standard one."""
    return {NAME: STANDARD} | dict(stored or {})


def _written(way: EndpointSettings) -> dict[str, str]:
    headers = {name: text for name, text in way.written_headers.items() if variables.names(text)}
    url = {"url": way.written_url} if variables.names(way.written_url) else {}
    texts = _below(SETTINGS, way.settings.with_variables) | _below(PARAMS, way.params.with_variables)
    return url | _below(HEADERS, headers) | texts


def _below(key: str, values: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{key}.{name}": value for name, value in values.items()}
