"""The deliveries list's filters. They live in the URL: ?tenant=SLUG&subscriber=endpoint-ID&status=dead&status=retrying."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from delivery.models import Delivery, DeliveryQuerySet
from delivery.states import DeliveryStatus
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.scoping import within
from subscriptions.models import Endpoint, Subscription, Tenant

_SUBSCRIBER = re.compile(r"(endpoint|subscription)-(\d{1,18})")
NAMES = ("tenant", "subscriber", "status")

Choices = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pill:
    """One applied filter, and the query string without it."""

    name: str
    value: str
    query: str


def subscriber_choices(principal: Principal) -> list[tuple[str, Choices]]:
    """Endpoints and their subscriptions that the principal may see, grouped by tenant. Two queries."""
    groups: dict[str, Choices] = {}
    by_endpoint: dict[int, list[Subscription]] = {}
    for row in within(Subscription.objects.order_by("slug"), principal).only("slug", "endpoint_id", "tenant_id"):
        by_endpoint.setdefault(row.endpoint_id, []).append(row)
    for endpoint in within(Endpoint.objects.select_related("tenant"), principal).only("slug", "tenant__slug"):
        group = groups.setdefault(endpoint.tenant.slug, [])
        group.append((f"endpoint-{endpoint.pk}", endpoint.slug))
        group += [
            (f"subscription-{row.pk}", f"{endpoint.slug} › {row.slug}") for row in by_endpoint.get(endpoint.pk, ())
        ]
    return list(groups.items())


def visible_tenants(request: HttpRequest) -> QuerySet[Tenant]:
    return within(Tenant.objects.order_by("slug"), principal_of(request), column="id")


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    tenant = django_filters.ModelChoiceFilter(
        queryset=visible_tenants, to_field_name="slug", empty_label="All tenants", label="Tenant"
    )
    subscriber = django_filters.ChoiceFilter(
        choices=(), method="by_subscriber", empty_label="All subscribers", label="Subscriber"
    )
    status = django_filters.MultipleChoiceFilter(
        choices=DeliveryStatus.choices, method="by_status", widget=forms.CheckboxSelectMultiple, label="Status"
    )

    class Meta:
        model = Delivery
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Asked for once a request, and by a poll without this filter not at all.
        self.filters["subscriber"].extra["choices"] = cache(partial(subscriber_choices, principal_of(self.request)))

    def by_subscriber(self, rows: DeliveryQuerySet, name: str, value: str) -> DeliveryQuerySet:
        """With the tenant, so that its index is used."""
        match = _SUBSCRIBER.fullmatch(value)
        assert match is not None, "the field takes its choices only"
        kind, key = match[1], int(match[2])
        owner = Endpoint if kind == "endpoint" else Subscription
        tenant_id = owner._default_manager.values_list("tenant_id", flat=True).get(pk=key)
        return rows.filter(tenant_id=tenant_id, **{f"{kind}_id": key})

    def by_status(self, rows: DeliveryQuerySet, name: str, values: list[str]) -> DeliveryQuerySet:
        if not values:
            return rows
        found = rows.filter(status__in=values)
        return found.dead() if values == [DeliveryStatus.DEAD] else found

    def pills(self) -> Iterator[Pill]:
        """What is applied, each with the way to take it away."""
        if not self.form.is_valid():
            return
        cleaned = self.form.cleaned_data
        if cleaned["tenant"]:
            yield self._pill("Tenant", cleaned["tenant"].slug, "tenant", cleaned["tenant"].slug)
        if cleaned["subscriber"]:
            yield self._pill("Subscriber", self._subscriber_label(), "subscriber", cleaned["subscriber"])
        for value in cleaned["status"]:
            yield self._pill("Status", DeliveryStatus(value).label, "status", value)

    def _pill(self, name: str, shown: str, key: str, value: str) -> Pill:
        left = clean_query(self.data)
        left.setlist(key, [item for item in left.getlist(key) if item != value])
        return Pill(name, shown, left.urlencode())

    def _subscriber_label(self) -> str:
        wanted = self.form.cleaned_data["subscriber"]
        for tenant, choices in self.form.fields["subscriber"].choices:
            if not isinstance(choices, str):
                for value, label in choices:
                    if value == wanted:
                        return f"{tenant} / {label}"
        return str(wanted)


def clean_query(data: QueryDict) -> QueryDict:
    """The filters alone, without empty values and cursors: what links and polls of a list carry."""
    kept = QueryDict(mutable=True)
    for name in NAMES:
        values = [value for value in data.getlist(name) if value]
        if values:
            kept.setlist(name, values)
    return kept
