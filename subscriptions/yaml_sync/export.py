"""The tables as a file that `sync_subscriptions` reads back without a change. No secret is written.

What came from a file is written as it stands there. Headers, secret settings and URLs that came from elsewhere (a URL's path may
be a token) become ${VARIABLES} with names of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from subscriptions.channels.checks import plain_number, without_defaults
from subscriptions.channels.registry import spec_of
from subscriptions.models import AppliedSpec, Channel, ContentMode, Endpoint, Lane, Ordering, Subscription, Tenant
from subscriptions.retry_policy import NAME, STANDARD
from subscriptions.yaml_sync import state, variables
from subscriptions.yaml_sync.applied import Applied, applied_of
from subscriptions.yaml_sync.apply import MANAGED_BY, REMOVED_REASON
from subscriptions.yaml_sync.endpoint import DEFAULT_TIMEOUT_S, plain_fields
from subscriptions.yaml_sync.spec import VERSION

Data = dict[str, object]
LINE_CHARS = 120
HEAD = """\
# yaml-language-server: $schema=subscriptions.schema.json
# Written by `manage.py export_subscriptions{option}`. Read it back with
#
#   python manage.py sync_subscriptions --file THIS-FILE{option} --dry-run
#
# Objects that no file owns yet need --adopt. Paused and disabled endpoints and inactive tenants are not told apart here.
"""
NO_VARIABLES = "# It needs no variables.\n"
VARIABLES = """\
# Secrets are not written. These variables must be set, or --keep-secrets keeps what is stored in their places:
#
"""


@dataclass(slots=True)
class Exported:
    """`needed`: each variable of the file → the first place that names it."""

    data: Data
    needed: dict[str, str] = field(default_factory=dict)

    def text(self, tenant: str = "") -> str:
        head = HEAD.format(option=f" --tenant {tenant}" if tenant else "")
        names = "".join(f"#   {name}  {place}\n" for name, place in self.needed.items())
        told = VARIABLES + names if names else NO_VARIABLES
        return f"{head}#\n{told}{_dumped(self.data)}"


def export(tenant: str = "", *, with_urls: bool = False) -> Exported:
    """`tenant` empty: all. `with_urls`: URLs are written in full. The order is by slug, so equal tables give equal files."""
    return _Export(with_urls).run(tenant)


def export_endpoint(endpoint: Endpoint) -> Exported | None:
    """That endpoint with its subscriptions as it stands in the file of its tenant, without URLs that may hold tokens.

    None: the file leaves it out, for it has stopped naming it.
    """
    return _Export(False).alone(endpoint)


class _Export:
    def __init__(self, with_urls: bool) -> None:
        self._with_urls = with_urls
        self._records = {(row.tenant_id, row.kind, row.slug): row for row in AppliedSpec.objects.all()}
        texts = (text for row in self._records.values() for text in dict(row.values)["written"].values())
        self._taken = {name for text in texts for name in variables.names(str(text))}
        self._needed: dict[str, str] = {}

    def run(self, tenant: str) -> Exported:
        rows = Tenant.objects.filter(slug=tenant) if tenant else Tenant.objects.all()
        tenants = [self._tenant(row) for row in rows.order_by("slug")]
        return Exported({"version": VERSION, "tenants": tenants}, self._needed)

    def alone(self, endpoint: Endpoint) -> Exported | None:
        if self._is_removed(endpoint):
            return None
        return Exported(
            {"version": VERSION, "tenants": [self._with_endpoints(endpoint.tenant, [endpoint])]}, self._needed
        )

    def _tenant(self, row: Tenant) -> Data:
        endpoints = Endpoint.objects.filter(tenant=row).select_related("tenant").order_by("slug")
        return self._with_endpoints(row, [endpoint for endpoint in endpoints if not self._is_removed(endpoint)])

    def _with_endpoints(self, row: Tenant, endpoints: Sequence[Endpoint]) -> Data:
        found = [self._endpoint(endpoint) for endpoint in endpoints]
        named: Data = {"slug": row.slug, "name": row.name}  # a name that is left out would be the slug
        return named | _set({"rate_limit": _number(row.rate_limit), "endpoints": found})

    def _endpoint(self, row: Endpoint) -> Data:
        current, texts = state.endpoint_state(row), self._texts(row)
        data: Data = {
            "slug": row.slug,
            "name": row.name,
            "channel": _unless(row.channel, Channel.WEBHOOK.value),
            "url": texts.pop("url", None),
            "headers": _group(texts, state.HEADERS),
            "template": row.template,
            "template_params": _group({**current.plain, **texts}, state.PARAMS),
            "settings": self._settings(row, {**current.plain, **texts}),
            "content_mode": _unless(row.content_mode, ContentMode.STRUCTURED.value),
            "timeout_s": _unless(_number(row.timeout_s), DEFAULT_TIMEOUT_S),
            "lane": _unless(row.lane, Lane.FAST.value),
            "rate_limit": _number(row.rate_limit),
            "max_in_flight": row.max_in_flight,
        }
        mine = Subscription.objects.filter(endpoint=row, tenant=row.tenant).select_related("endpoint").order_by("slug")
        subscriptions = [_subscription(item) for item in mine if not self._is_removed(item)]
        return _set(data | {"subscriptions": subscriptions})

    def _settings(self, row: Endpoint, values: Mapping[str, object]) -> Data:
        spec = spec_of(row.channel)
        return without_defaults(plain_fields(spec.fields), _group(values, state.SETTINGS)) if spec else {}

    def _texts(self, row: Endpoint) -> dict[str, object]:
        """Key → what stands in the file for values that it may not tell, or that hold what looks like a variable."""
        current, record = state.endpoint_state(row), self._record(row)
        applied = applied_of(record, row) if record and row.managed_by == MANAGED_BY else None
        texts: dict[str, object] = {}
        for name, value in current.plain.items():
            written = _as_written(name, value, applied)
            if written is not None:
                texts[name] = written
            elif name == "url" and value:
                texts[name] = variables.escaped(row.url) if self._may_tell(row, applied) else self._variable(row, name)
            elif isinstance(value, str) and name.startswith((f"{state.SETTINGS}.", f"{state.PARAMS}.")):
                texts[name] = variables.escaped(value)
        for name, value in sorted(current.secrets.items()):
            kept = applied is not None and not applied.is_resealed(name)
            written = applied.state.written.get(name) if applied and kept else None
            texts[name] = written or (self._variable(row, name) if value else "")
        # In the file's order. Whether a value is kept as a secret may change, the list of variables must not.
        for name in sorted(texts, key=lambda name: (name != "url", name)):
            for variable in variables.names(str(texts[name])):
                self._needed.setdefault(variable, f"{row}: {name}")
        return texts

    def _may_tell(self, row: Endpoint, applied: Applied | None) -> bool:
        """Whether the URL may be written: it stands in the file as it is, or the caller asked for it."""
        return self._with_urls or (applied is not None and applied.state.plain.get("url") == row.url)

    def _variable(self, row: Endpoint, name: str) -> str:
        """ACME_CI_CD_HEADERS_AUTHORIZATION; with a number when that is taken."""
        wanted = re.sub(r"[^A-Z0-9]+", "_", f"{row.tenant.slug}_{row.slug}_{name}".upper())
        wanted = wanted if wanted[0].isalpha() else f"_{wanted}"
        free, number = wanted, 2
        while free in self._taken:
            free, number = f"{wanted}_{number}", number + 1
        self._taken.add(free)
        return f"${{{free}}}"

    def _record(self, row: Endpoint | Subscription) -> AppliedSpec | None:
        kind = AppliedSpec.Kind.ENDPOINT if isinstance(row, Endpoint) else AppliedSpec.Kind.SUBSCRIPTION
        return self._records.get((row.tenant_id, kind, row.slug))

    def _is_removed(self, row: Endpoint | Subscription) -> bool:
        """The file has stopped naming it, and nobody has switched it on again."""
        record = self._record(row)
        if isinstance(row, Endpoint):
            return row.state_reason == REMOVED_REASON
        return record is not None and record.removed and not row.active


def _as_written(name: str, value: object, applied: Applied | None) -> str | None:
    if applied is None or applied.state.plain.get(name) != value:
        return None
    return applied.state.written.get(name)


def _subscription(row: Subscription) -> Data:
    return _set(
        {
            "slug": row.slug,
            "types": list(row.types),
            "tags": list(row.tags),
            "filters": row.filters,
            "retry_policy": _policy(row.retry_policy or {}),
            "ordering": _unless(row.ordering, Ordering.NONE.value),
            "active": _unless(row.active, True),
        }
    )


def _policy(stored: Mapping[str, object]) -> object:
    fields = {name: _numbers(value) for name, value in stored.items() if name != NAME}
    name = stored.get(NAME, STANDARD)
    return {NAME: name, **fields} if fields else _unless(name, STANDARD)


def _numbers(value: object) -> object:
    return [_number(item) for item in value] if isinstance(value, list) else _number(value)


def _number(value: object) -> object:
    return plain_number(value) if isinstance(value, float) else value


def _unless(value: object, default: object) -> object:
    return None if value == default else value


def _set(values: Mapping[str, object]) -> Data:
    """Without what is not set, which the file leaves out."""
    return {name: value for name, value in values.items() if value is not None and value not in ("", [], {})}


def _group(values: Mapping[str, object], key: str) -> Data:
    return {name.removeprefix(f"{key}."): value for name, value in values.items() if name.startswith(f"{key}.")}


class _Dumper(yaml.SafeDumper):
    """Items of a list are indented below its key; what stands twice is written twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _dumped(data: Data) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_CHARS))
