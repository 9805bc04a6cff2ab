"""Events as templates meet them: releases under real names, and made-up ones of any form."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

# Names and versions as they are in use, the awkward ones: dots, epochs, plus signs, calendars, long.
RELEASES = [
    ("apache-airflow-providers-ailake", "0.1.16"),
    ("apache-airflow-providers-apache-druid", "4.6.1"),
    ("apache-airflow-providers-common-compat-dep-patched", "1.2.1.1"),
    ("backports.zoneinfo", "0.2.1"),
    ("pytest_asyncio", "1!0.24.0rc1"),
    ("torch", "2.5.1+cu124"),
    ("certifi", "2026.10.18"),
]


def event(data: object, event_type: str = "plugin.release.published", **attributes: object) -> bytes:
    """Structured JSON. An attribute given as None is not there."""
    made: dict[str, object] = {
        "specversion": "1.0",
        "id": "019a53a1-7bff-7c4e-8f11-5a2d6b7e8c90",
        "source": "/pipelines/release",
        "type": event_type,
        "subject": "payments-gateway",
        "time": "2025-11-05T12:00:00Z",
        "tenant": "acme",
        "datacontenttype": "application/json",
        "data": data,
        **attributes,
    }
    return orjson.dumps({name: value for name, value in made.items() if value is not None})


def release(plugin: str, version: str, **changes: object) -> bytes:
    data: dict[str, object] = {
        "plugin_id": plugin,
        "version": version,
        "channel": "stable",
        "tenant": "acme",
        "artifact": {"digest": "sha256:" + "9f" * 32, "url": f"https://artifacts.acme.example/{plugin}/{version}.tgz"},
        "released_by": "eva.zhang@acme.example",
        "released_at": "2025-11-05T12:00:00Z",
        **changes,
    }
    return event({name: value for name, value in data.items() if value is not None})


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
)
# Keys that templates ask for come often, with values they do not expect.
_KEYS = (
    st.sampled_from(["plugin_id", "version", "severity", "artifact", "url", "changelog_url", "channel", "size"]) | _TEXT
)
ANY_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)
ANY_EVENT = st.builds(
    event,
    st.dictionaries(_KEYS, ANY_JSON, max_size=6) | ANY_JSON,
    st.sampled_from(["plugin.release.published", "event.delivery.failed", "a", "t" * 512]),
    subject=st.none() | _TEXT.filter(bool),
    time=st.none() | st.just("2025-11-05T12:00:00.123456+02:00"),
    tenant=st.none() | st.just("acme"),
)
