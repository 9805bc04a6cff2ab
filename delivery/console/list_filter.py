"""Filters of a list with a few choices each. They live in the URL: ?state=open&tenant=acme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest

from delivery.console.filters import Choices, Pill
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from subscriptions.models import Tenant


@dataclass(frozen=True, slots=True)
class Field:
    """`value` is one of its choices, or "" for all."""

    name: str
    label: str
    every: str
    choices: Choices
    value: str = ""

    @property
    def shown(self) -> str:
        return dict(self.choices).get(self.value, "")


@dataclass(frozen=True, slots=True)
class ListFilter:
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, query: Mapping[str, str], fields: Sequence[Field]) -> ListFilter:
        """From the URL; what is none of the choices is as good as absent."""
        return cls(tuple(_chosen(field, query.get(field.name, "")) for field in fields))

    def chosen(self, name: str) -> str:
        return next(field.value for field in self.fields if field.name == name)

    @property
    def query(self) -> str:
        return urlencode(self._values())

    @property
    def pills(self) -> list[Pill]:
        """What is applied, each with the way to take it away."""
        return [
            Pill(field.label, field.shown, urlencode(self._values(without=field.name)))
            for field in self.fields
            if field.value
        ]

    def _values(self, without: str = "") -> dict[str, str]:
        return {field.name: field.value for field in self.fields if field.value and field.name != without}


def _chosen(field: Field, value: str) -> Field:
    return Field(field.name, field.label, field.every, field.choices, value if value in dict(field.choices) else "")


def tenant_field(request: HttpRequest, permission: Permission = Permission.VIEW) -> Field:
    """The tenants in which the reader has the permission. One query."""
    rows = within(Tenant.objects.order_by("slug"), principal_of(request), permission, column="id")
    return Field("tenant", "Tenant", "All tenants", [(slug, slug) for slug in rows.values_list("slug", flat=True)])
