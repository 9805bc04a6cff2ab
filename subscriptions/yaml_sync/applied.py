"""What the last sync set on a row, kept so that a change by hand is seen, and so that an export has the file's own words.

No secret is kept: of headers and secret settings their names, and a digest of the sealed bytes, which change whenever somebody
seals them anew. (So does a rotation of the encryption key; it is then seen only where the file, too, has another value.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from subscriptions.models import AppliedSpec, Endpoint, Tenant
from subscriptions.yaml_sync import variables
from subscriptions.yaml_sync.state import HEADERS, State

SEALED_HEADERS, SEALED_CREDENTIALS = "headers", "credentials"
NO_SEALS: Mapping[str, str] = {SEALED_HEADERS: "", SEALED_CREDENTIALS: ""}


@dataclass(frozen=True, slots=True)
class Applied:
    """`state` has no secrets. `seals` are of then, `seals_now` of the row as it is."""

    state: State
    secret_names: frozenset[str] = frozenset()
    seals: Mapping[str, str] = field(default_factory=dict)
    seals_now: Mapping[str, str] = field(default_factory=dict)

    def is_resealed(self, name: str) -> bool:
        """Whether the secrets among which this one is were sealed by somebody else since."""
        group = SEALED_HEADERS if name.startswith(f"{HEADERS}.") else SEALED_CREDENTIALS
        return self.seals.get(group) != self.seals_now.get(group)


def seals_of(row: object) -> dict[str, str]:
    if not isinstance(row, Endpoint):
        return dict(NO_SEALS)
    sealed = {SEALED_HEADERS: row.sealed_headers, SEALED_CREDENTIALS: row.sealed_credentials}
    return {name: hashlib.sha256(bytes(value)).hexdigest() if value else "" for name, value in sealed.items()}


def values_of(state: State, seals: Mapping[str, str]) -> dict[str, object]:
    """For AppliedSpec.values; `applied_of` reads it back."""
    plain_or_safe = {
        name: text for name, text in state.written.items() if name not in state.secrets or variables.may_be_shown(text)
    }
    return {
        "plain": dict(state.plain),
        "written": plain_or_safe,
        "secret_names": sorted(state.secrets),
        "seals": dict(seals),
    }


def applied_of(record: AppliedSpec, row: object) -> Applied:
    """As compared with the row that is there now."""
    values = cast("dict[str, Any]", record.values)
    state = State(values["plain"], {}, values["written"])
    return Applied(state, frozenset(values["secret_names"]), values["seals"], seals_of(row))


class Records:
    """The records of all tenants, by what they are of; read once, while the lock is held."""

    def __init__(self) -> None:
        self._by_key = {(row.tenant_id, row.kind, row.slug): row for row in AppliedSpec.objects.all()}
        self._kept: set[int] = set()

    def get(self, tenant: Tenant, kind: str, slug: str) -> AppliedSpec | None:
        """None also when the file has stopped naming it."""
        record = self._by_key.get((tenant.pk, kind, slug))
        return None if record is None or record.removed else record

    def is_removed(self, tenant: Tenant, kind: str, slug: str) -> bool:
        record = self._by_key.get((tenant.pk, kind, slug))
        return record is not None and record.removed

    def keep(self, tenant: Tenant, kind: str, slug: str, values: dict[str, object]) -> None:
        record = self._by_key.get((tenant.pk, kind, slug)) or AppliedSpec(tenant=tenant, kind=kind, slug=slug)
        if record.pk is None or record.removed or record.values != values:
            record.values, record.removed = values, False
            record.save()
        self._kept.add(record.pk)

    def remove_others(self, tenant: str) -> None:
        """`tenant` empty: of all tenants. A tenant itself is never removed."""
        others = AppliedSpec.objects.exclude(kind=AppliedSpec.Kind.TENANT).exclude(pk__in=self._kept)
        (others.filter(tenant__slug=tenant) if tenant else others).update(removed=True)

    def mark_removed(self, tenant: Tenant, kind: str, slug: str) -> None:
        """Also of a row that was made before records were kept."""
        empty = values_of(State({}), NO_SEALS)
        AppliedSpec.objects.get_or_create(tenant=tenant, kind=kind, slug=slug, defaults={"values": empty})
