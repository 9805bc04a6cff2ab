"""The deliveries list's filters. They live in the URL: ?tenant=SLUG&subscriber=endpoint-ID&status=dead&code=5xx&q=WORDS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.dateparse import parse_datetime

from delivery.console.wanted import BRANCHES_MOST, Codes, Wanted, codes_of
from delivery.console.wording import ERROR_WORDS, error_words
from delivery.outcome import ErrorKind
from delivery.states import DeliveryStatus
from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission
from eventcenter.access.scoping import within
from eventcenter.search import LENGTH_MOST, Sought, sought
from subscriptions.models import Endpoint, Subscription, Tenant

NAMES = ("q", "tenant", "subscriber", "status", "since", "until", "type", "tag", "code", "error")
RARE = ("until", "type", "tag", "code", "error")
PRESETS = {
    "15m": ("15 m", timedelta(minutes=15)),
    "1h": ("1 h", timedelta(hours=1)),
    "24h": ("24 h", timedelta(days=1)),
    "7d": ("7 d", timedelta(days=7)),
}
SUBSCRIBERS_MOST = 200  # in a select; of more, those of the tenant that is chosen
_SUBSCRIBER = re.compile(r"(endpoint|subscription)-(\d{1,18})")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

Choices = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Pill:
    """One applied filter, and the query string without it."""

    name: str
    value: str
    query: str


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An endpoint with all subscriptions that it has and had, or one subscription. `value` as in the URL."""

    value: str
    tenant_id: int
    label: str
    endpoint_id: int | None
    subscription_ids: tuple[int, ...]


def subscriber_choices(principal: Principal, tenant_id: int | None = None) -> list[tuple[str, Choices]]:
    """Endpoints and their subscriptions that the principal may see, grouped by tenant: the first of them. Two queries."""
    only = {"tenant_id": tenant_id} if tenant_id else {}
    endpoints = within(Endpoint.objects.filter(**only), principal).values_list("pk", "slug", "tenant__slug")
    chosen = list(endpoints[:SUBSCRIBERS_MOST])
    rows = within(Subscription.objects.order_by("slug"), principal).filter(endpoint__in=[key for key, *_ in chosen])
    by_endpoint: dict[int, list[tuple[int, str]]] = {}
    for key, slug, endpoint_id in rows.values_list("pk", "slug", "endpoint_id")[:SUBSCRIBERS_MOST]:
        by_endpoint.setdefault(endpoint_id, []).append((key, slug))
    groups: dict[str, Choices] = {}
    for endpoint_id, endpoint, tenant in chosen:
        group = groups.setdefault(tenant, [])
        group.append((f"endpoint-{endpoint_id}", endpoint))
        group += [(f"subscription-{key}", f"{endpoint} › {slug}") for key, slug in by_endpoint.get(endpoint_id, ())]
    return list(groups.items())


def subscriber_of(value: str, principal: Principal) -> Subscriber | None:
    """Also of what was deleted since: its deliveries are still there. Two queries at most."""
    match = _SUBSCRIBER.fullmatch(value)
    if match is None:
        return None
    if match[1] == "subscription":
        rows = within(Subscription.everything.select_related("tenant", "endpoint"), principal)
        found = rows.filter(pk=int(match[2])).first()
        label = f"{found.tenant.slug} / {found.endpoint.slug} › {found.slug}" if found else ""
        return Subscriber(value, found.tenant_id, label, None, (found.pk,)) if found else None
    endpoint = within(Endpoint.everything.select_related("tenant"), principal).filter(pk=int(match[2])).first()
    if endpoint is None:
        return None
    keys = Subscription.everything.filter(endpoint=endpoint).order_by("pk").values_list("pk", flat=True)
    label = f"{endpoint.tenant.slug} / {endpoint.slug}"
    return Subscriber(value, endpoint.tenant_id, label, endpoint.pk, tuple(keys[: BRANCHES_MOST + 1]))


def visible_tenants(request: HttpRequest) -> QuerySet[Tenant]:
    return within(Tenant.objects.order_by("slug"), principal_of(request), column="id")


class _Moment(forms.Field):
    """A time in UTC: ISO 8601, or what the browser's field for it sends."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip().replace(" ", "+" if "T" in str(value) else "T")  # a "+" that no link escaped
        if not text:
            return None
        try:
            found = parse_datetime(text)
        except ValueError:
            found = None
        if found is None:
            raise ValidationError("Takes a time in UTC such as 2026-05-04T13:00.")
        moment = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        if not _EARLIEST < moment < _LATEST:
            raise ValidationError("Takes a time after 1970.")
        return moment.astimezone(UTC)


class _Code(forms.CharField):
    def clean(self, value: Any) -> Codes | None:
        text = super().clean(value)
        try:
            return codes_of(text) if text else None
        except ValueError as error:
            raise ValidationError(f"It {error}.") from None


class DeliveryFilter(forms.Form):
    """Reads the URL. While one field is wrong nothing is `wanted`: more than what was meant must not show."""

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=LENGTH_MOST,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "id, plugin, version, trace id"}),
    )
    tenant = forms.CharField(label="Tenant", required=False, max_length=63)
    subscriber = forms.CharField(label="Subscriber", required=False, max_length=40)
    status = forms.MultipleChoiceField(
        choices=DeliveryStatus.choices, widget=forms.CheckboxSelectMultiple, label="Status", required=False
    )
    since = _Moment(label="From (UTC)", required=False)
    until = _Moment(label="Before (UTC)", required=False)
    type = forms.CharField(
        label="Event type", required=False, max_length=200, widget=forms.TextInput(attrs={"list": "types"})
    )
    tag = forms.CharField(label="Tag", required=False, max_length=200)
    code = _Code(label="Response code", required=False, widget=forms.TextInput(attrs={"placeholder": "503, 4xx, none"}))
    error = forms.ChoiceField(
        label="Error",
        required=False,
        choices=[("", "Any"), *((kind.value, ERROR_WORDS[kind]) for kind in ErrorKind if kind in ERROR_WORDS)],
    )

    def __init__(self, data: QueryDict, principal: Principal) -> None:
        self.query, self.principal = clean_query(data), principal
        super().__init__(self.query)

    def clean_q(self) -> Sought:
        text = self.cleaned_data["q"]
        found = sought(text)
        if text and not found:
            raise ValidationError("Takes an id, a plugin, a version, plugin@version or a trace id.")
        return found

    def clean_tenant(self) -> Tenant | None:
        slug = self.cleaned_data["tenant"]
        if not slug:
            return None
        found = within(Tenant.objects.all(), self.principal, column="id").filter(slug=slug).first()
        if found is None:
            raise ValidationError(f"There is no tenant {slug}.")
        return found

    def clean_subscriber(self) -> Subscriber | None:
        value = self.cleaned_data["subscriber"]
        found = subscriber_of(value, self.principal) if value else None
        if value and found is None:
            raise ValidationError("There is no such subscriber.")
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", "Takes a time after the first one.")
        return cleaned

    @property
    def wanted(self) -> Wanted | None:
        if not self.is_valid():
            return None
        given = self.cleaned_data
        tenant, subscriber = given["tenant"], given["subscriber"]
        named = ([tenant.pk] if tenant else []) + ([subscriber.tenant_id] if subscriber else [])
        return Wanted(
            tenant_ids=_narrowed(self.principal, named),
            endpoint_id=subscriber.endpoint_id if subscriber else None,
            subscription_ids=subscriber.subscription_ids if subscriber else (),
            statuses=tuple(given["status"]),
            type=given["type"],
            tag=given["tag"],
            codes=given["code"],
            error=given["error"],
            since=given["since"],
            until=given["until"],
            sought=given["q"],
        )

    @property
    def has_rare(self) -> bool:
        return any(self.query.get(name) for name in RARE)

    def pills(self) -> Iterator[Pill]:
        """What is applied, each with the way to take it away; what is wrong, too."""
        for name in NAMES:
            for value in self.query.getlist(name):
                label = str(self.fields[name].label).removesuffix(" (UTC)")
                yield Pill(label, self._shown(name, value), self._without(name, value))

    def _shown(self, name: str, value: str) -> str:
        found = self.cleaned_data.get(name) if self.is_bound and not self.errors.get(name) else None
        if isinstance(found, Subscriber):
            return found.label
        if isinstance(found, datetime):
            return f"{found:%Y-%m-%d %H:%M:%S}"
        if name == "status" and value in DeliveryStatus.values:
            return DeliveryStatus(value).label
        return error_words(value) if name == "error" else value

    def _without(self, name: str, value: str) -> str:
        left = clean_query(self.query)
        left.setlist(name, [item for item in left.getlist(name) if item != value])
        return left.urlencode()


def _narrowed(principal: Principal, tenant_ids: list[int]) -> frozenset[int] | None:
    """What the reader may see, of the tenants that are named; of two different ones nothing is both."""
    visible = principal.tenant_ids(Permission.VIEW)
    for key in tenant_ids:
        visible = frozenset({key}) if visible is None or key in visible else frozenset()
    return visible


def clean_query(data: QueryDict) -> QueryDict:
    """The filters alone, without empty values and cursors: what links and polls of a list carry."""
    kept = QueryDict(mutable=True)
    for name in NAMES:
        values = [value for value in data.getlist(name) if value]
        if values:
            kept.setlist(name, values)
    return kept


def needs_redirect(data: QueryDict) -> bool:
    """Empty fields of a form without JavaScript, and a time that is said as "the last hour"."""
    return "" in data.values() or data.get("since") in PRESETS


def redirected(data: QueryDict, now: datetime) -> str:
    """The query string with the moments that are meant, so that a link to it shows the same tomorrow."""
    kept = clean_query(data)
    preset = PRESETS.get(str(kept.get("since", "")))
    if preset:
        kept["since"] = f"{now - preset[1]:%Y-%m-%dT%H:%M:%S}"
    return kept.urlencode()
