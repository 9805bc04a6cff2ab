"""The values of variables that the environment lacks, found in what is stored: for a file that was just exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from subscriptions.models import Endpoint
from subscriptions.yaml_sync import state, variables


def with_stored(data: object, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ`, and each absent variable that makes the stored value of the first place that names it.

    `data` is the file as it was read, not checked yet. A variable for which nothing is stored stays absent.
    """
    stored = {(row.tenant.slug, row.slug): row for row in Endpoint.objects.select_related("tenant")}
    known = dict(environ)
    for tenant, data_of_endpoint in _endpoints(data):
        row = stored.get((tenant, str(data_of_endpoint.get("slug"))))
        if row is not None:
            _solve(data_of_endpoint, state.endpoint_state(row), known)
    return known


def _solve(data: Mapping[object, object], stored: state.State, known: dict[str, str]) -> None:
    values = {**stored.plain, **stored.secrets}
    for key, written in _texts(data):
        found = variables.solved(written, str(values[key]), known) if key in values else None
        if found is not None:
            known[found[0]] = found[1]


def _endpoints(data: object) -> Iterator[tuple[str, Mapping[object, object]]]:
    for tenant in _mappings(data, "tenants"):
        for endpoint in _mappings(tenant, "endpoints"):
            yield str(tenant.get("slug")), endpoint


def _mappings(data: object, key: str) -> list[Mapping[object, object]]:
    found = data.get(key) if isinstance(data, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _texts(data: Mapping[object, object]) -> Iterator[tuple[str, str]]:
    url = data.get("url")
    if isinstance(url, str):
        yield "url", url
    for group in (state.HEADERS, state.SETTINGS, state.PARAMS):
        values = data.get(group)
        for name, text in values.items() if isinstance(values, dict) else ():
            if isinstance(text, str):
                yield f"{group}.{name}", text
