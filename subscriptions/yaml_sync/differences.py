"""What the file would change on a row, one text each. None holds a secret, a header's value or the value of a variable."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from subscriptions.models import Endpoint, Subscription, Tenant
from subscriptions.retry_policy import NAME, STANDARD
from subscriptions.routing import open_credentials, open_headers
from subscriptions.yaml_sync.endpoint import EndpointSettings, Settings
from subscriptions.yaml_sync.plan import difference

MANAGED_BY = "yaml"

Row = Tenant | Endpoint | Subscription


def plain_differences(row: Row, values: Mapping[str, object]) -> list[str]:
    """`name: old → new` of fields whose values may be shown; nothing of a row that is new."""
    if row._state.adding:
        return []
    changed = ((name, getattr(row, name), value) for name, value in values.items())
    return [f"{name}: {difference(before, after)}" for name, before, after in changed if before != after]


def endpoint_differences(row: Endpoint, shown: Mapping[str, object], way: EndpointSettings) -> list[str]:
    if row._state.adding:
        return []
    changed = plain_differences(row, shown)
    if row.url != way.url:
        changed.append(f"url: {difference(origin(row.url), way.written_url or 'none')}")
    before, after = dict(open_headers(row)), dict(way.headers)
    changed += [f"header {name}" for name in _differing(before, after)]
    changed += _settings_differences("settings", row.config, way.settings)
    changed += _settings_differences("template_params", row.template_params, way.params)
    changed += [f"settings: {name} changed" for name in _differing(open_credentials(row), way.credentials)]
    return changed + adopted(row.managed_by)


def policy_differences(row: Subscription, policy: dict[str, object] | None) -> list[str]:
    if row._state.adding or row.retry_policy == policy:
        return []
    return [f"retry_policy: {difference(policy_words(row.retry_policy), policy_words(policy))}"]


def policy_words(stored: dict[str, object] | None) -> str:
    """Such as "quick, max_age_s 7200.0"."""
    data = {NAME: STANDARD} | (stored or {})
    return ", ".join([str(data[NAME]), *(f"{field} {value}" for field, value in data.items() if field != NAME)])


def moved(before: Endpoint, after: Endpoint) -> list[str]:
    return [] if before.pk == after.pk else [f"endpoint: {difference(before.slug, after.slug)}"]


def adopted(managed_by: str) -> list[str]:
    return [] if managed_by == MANAGED_BY else ["now owned by the file"]


def origin(url: str) -> str:
    """Scheme and host: the rest may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…" if url else "none"


def _settings_differences(key: str, before: Mapping[str, object], after: Settings) -> list[str]:
    return [_setting(key, name, before.get(name), after) for name in _differing(before, after.config)]


def _setting(key: str, name: str, before: object, after: Settings) -> str:
    written = after.written.get(name)
    if isinstance(written, str) and "${" in written:
        return f"{key}: {name} changed"
    return f"{key}.{name}: {difference(before, after.config.get(name))}"


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
