"""The form of a new replay, or of a cancel of many: what its URL prefills, and the criteria that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from delivery.console.filters import clean_query, subscriber_choices
from delivery.models import ReplayAction, ReplayJob
from delivery.replays import gate
from delivery.replays.criteria import BACK_LENGTH_MOST, ENDED, MISSED, Criteria, CriteriaError, gap, parse
from delivery.replays.missed import missed_since
from delivery.replays.service import RATE_LEAST_PER_S, RATE_MOST_PER_S, RATES_DEFAULT_PER_S, REASON_LENGTH_MOST
from delivery.states import DeliveryStatus
from eventcenter.access.principal import Principal
from eventcenter.access.scoping import within
from eventcenter.search import LENGTH_MOST
from subscriptions.models import Endpoint, Tenant

# Fields that hold several, separated by commas → what the criteria and the deliveries list call them. A form has `errors`
# of its own.
LISTS = {
    "types": ("types", "type"),
    "tags": ("tags", "tag"),
    "codes": ("codes", "code"),
    "error_kinds": ("errors", "error"),
}
RARE = ("tags", "codes", "error_kinds", "search", "ended_since")
# Criteria → the field that a problem with them is shown at, where that has another name.
SHOWN_AT = {"endpoint": "subscriber", "subscription": "subscriber", "errors": "error_kinds"}


class _Moment(forms.DateTimeField):
    """A time in UTC, to the second."""

    def __init__(self, label: str, help_text: str) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
        super().__init__(label=label, help_text=help_text, widget=widget, required=False)


class ReplayForm(forms.Form):
    """Of a selection, `ids` says which; the filter's other fields are empty then."""

    tenant = forms.ModelChoiceField(
        Tenant.objects.none(), to_field_name="slug", empty_label="All tenants", required=False
    )
    subscriber = forms.ChoiceField(required=False)
    status = forms.MultipleChoiceField(choices=DeliveryStatus.choices, widget=forms.CheckboxSelectMultiple)
    types = forms.CharField(
        label="Event types", required=False, help_text="Exact, separated by commas; empty: all.", max_length=2_000
    )
    since = _Moment("Accepted from (UTC)", "Events accepted then or later.")
    until = _Moment("Accepted before (UTC)", "Events accepted before then.")
    ended_since = _Moment("Ended from (UTC)", "Deliveries given up, delivered or cancelled then or later.")
    tags = forms.CharField(required=False, help_text="Any one of these, separated by commas.", max_length=2_000)
    codes = forms.CharField(
        label="Last response codes",
        required=False,
        help_text="Such as 503, 4xx, or none for no answer yet; separated by commas.",
        max_length=200,
    )
    error_kinds = forms.CharField(
        label="Last errors",
        required=False,
        help_text="Kinds such as timeout, http_status; separated by commas.",
        max_length=600,
    )
    search = forms.CharField(
        label="Found by",
        required=False,
        help_text="An id, trace id, plugin, version or plugin@version.",
        max_length=LENGTH_MOST,
    )
    rate_per_s = forms.FloatField(
        label="Rate, deliveries per second",
        min_value=RATE_LEAST_PER_S,
        max_value=RATE_MOST_PER_S,
    )
    reason = forms.CharField(required=False, max_length=REASON_LENGTH_MOST, help_text="For the audit trail.")
    ids = forms.CharField(widget=forms.HiddenInput, required=False)
    event = forms.UUIDField(widget=forms.HiddenInput, required=False)
    back = forms.CharField(widget=forms.HiddenInput, required=False, max_length=BACK_LENGTH_MOST)

    def __init__(
        self, *args: Any, principal: Principal, action: ReplayAction = ReplayAction.REPLAY, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.able = gate.ABLE[action]
        self.fields["rate_per_s"].help_text = (
            "At most." if self.able != ENDED else "At most; less while workers are busy."
        )
        self.fields["rate_per_s"].initial = f"{RATES_DEFAULT_PER_S[action]:g}"
        status = self.fields["status"]
        assert isinstance(status, forms.MultipleChoiceField)
        status.choices = [(value, DeliveryStatus(value).label) for value in self.able]
        tenant = self.fields["tenant"]
        assert isinstance(tenant, forms.ModelChoiceField)
        tenant.queryset = within(Tenant.objects.order_by("slug"), principal, gate.PERMISSIONS[action], column="id")
        choose = self.fields["subscriber"]
        assert isinstance(choose, forms.ChoiceField)
        known = cache(partial(subscriber_choices, principal))
        choose.choices = lambda: [("", "All subscribers"), *known()]

    @property
    def selected(self) -> int:
        """How many deliveries were picked one by one."""
        return len(_words(self["ids"].value()))

    def unusable(self, query: QueryDict) -> list[str]:
        """What the deliveries list's filter in the URL says that this form cannot: it would take more than was meant."""
        if query.get("pick") == "selected":
            return []
        found = [name for name in ("tenant", "subscriber") if query.get(name) and not self._offers(name)]
        found += [
            name
            for name in ("since", "until")
            if query.get(name) and not query.get("gap") and not _moment(query.get(name))
        ]
        return found + [name for name in ("q", "type", "tag", "code", "error") if "\0" in query.get(name, "")]

    def _offers(self, name: str) -> bool:
        value, field = self.initial.get(name), self.fields[name]
        try:
            return bool(field.clean(value))
        except forms.ValidationError:
            return False

    @property
    def has_rare(self) -> bool:
        """Whether one of the fields that are seldom used says something, or is wrong."""
        return any(self[name].value() or self[name].errors for name in RARE if name in self.fields)

    def clean(self) -> dict[str, Any]:
        """Adds `criteria` when everything is right."""
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                cleaned["criteria"] = parse(_data(cleaned), self.able)
            except CriteriaError as error:
                self.refuse(error)
        return cleaned

    def refuse(self, error: CriteriaError) -> None:
        for name, message in error.problems:
            known = SHOWN_AT.get(name, name)
            self.add_error(known if known in self.fields else None, f"{name}: {message}")


def _data(cleaned: Mapping[str, Any]) -> dict[str, object]:
    """What `criteria.parse` reads."""
    kind, _, key = str(cleaned["subscriber"]).partition("-")
    data: dict[str, object] = {
        "tenant": cleaned["tenant"].pk if cleaned["tenant"] else None,
        "status": cleaned["status"],
        **{name: _words(cleaned[field]) for field, (name, _) in LISTS.items()},
        "search": cleaned["search"],
        "back": cleaned["back"],
        "ids": _words(cleaned["ids"]),
        "event": str(cleaned["event"]) if cleaned["event"] else None,
        **{name: cleaned[name].isoformat() if cleaned[name] else None for name in ("since", "until", "ended_since")},
    }
    return data | ({kind: int(key)} if key else {})


def _words(text: object) -> list[str]:
    return [word.strip() for word in str(text or "").split(",") if word.strip()]


def initial_of(query: QueryDict, principal: Principal, action: ReplayAction = ReplayAction.REPLAY) -> dict[str, Any]:
    """What the URL prefills: ?from=JOB, ?endpoint=ID&gap=1[&since=TIME], ?event=ID, ?pick=selected&id=…, or the
    deliveries list's filter. What cannot be read is left out.
    """
    able = gate.ABLE[action]
    if criteria := _linked(query, principal, action):
        return initial_from(criteria)
    back = clean_query(query).urlencode()[:BACK_LENGTH_MOST]
    if query.get("pick") == "selected":
        ids = [item for item in query.getlist("id") if _uuid(item)]
        return {"ids": ",".join(ids), "status": list(able), "back": back}
    chosen = [status for status in query.getlist("status") if status in able]
    default = [DeliveryStatus.DEAD.value] if able == ENDED else list(able)
    return {**_of_list(query), "status": chosen or default, "back": back}


def _of_list(query: QueryDict) -> dict[str, Any]:
    """The filter of the deliveries list, but for its states."""
    found: dict[str, Any] = {name: query[name] for name in ("tenant", "subscriber") if query.get(name)}
    found |= {name: ", ".join(filter(None, query.getlist(of_list))) for name, (_, of_list) in LISTS.items()}
    until = _moment(query.get("until"))
    found |= {"search": query.get("q", ""), "since": _whole(_moment(query.get("since")))}
    # The form knows whole seconds: what was accepted within the last one belongs to it.
    found["until"] = _whole(until + timedelta(microseconds=999_999)) if until else None
    return {name: value for name, value in found.items() if value and "\0" not in str(value)}


def _moment(text: str | None) -> datetime | None:
    """ISO 8601; without a zone it is UTC. None for what is no time."""
    words = (text or "").strip()
    try:
        found = parse_datetime(words.replace(" ", "+" if "T" in words else "T"))  # a "+" that no link escaped
    except ValueError:
        return None
    if found is None or not 1970 < found.year < 9999:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _linked(query: QueryDict, principal: Principal, action: ReplayAction) -> Criteria | None:
    if event_id := _uuid(query.get("event")):
        return Criteria(event_id=event_id, statuses=gate.ABLE[action])
    if job_id := _uuid(query.get("from")):
        job = within(ReplayJob.objects.all(), principal).filter(pk=job_id, action=action).first()
        return gate.criteria_of(job) if job else None
    if not query.get("gap") or action != ReplayAction.REPLAY:
        return None
    return _gap(str(query.get("endpoint", "")), str(query.get("since", "")), principal)


def _gap(endpoint_id: str, since: str, principal: Principal) -> Criteria | None:
    if not (endpoint_id.isascii() and endpoint_id.isdecimal() and len(endpoint_id) < 19):
        return None
    endpoint = within(Endpoint.objects.select_related("tenant"), principal).filter(pk=int(endpoint_id)).first()
    if endpoint is None:
        return None
    at = _time(since) or missed_since(endpoint)
    missed = gap(endpoint.pk, at) if at else Criteria(endpoint_id=endpoint.pk, statuses=MISSED)
    return replace(missed, tenant_id=endpoint.tenant_id)


def initial_from(criteria: Criteria) -> dict[str, Any]:
    """Of a filter by endpoint and subscription the form shows the subscription, which is the narrower one."""
    subscriber = f"endpoint-{criteria.endpoint_id}" if criteria.endpoint_id else ""
    if criteria.subscription_id:
        subscriber = f"subscription-{criteria.subscription_id}"
    tenant = Tenant.objects.filter(pk=criteria.tenant_id or 0).values_list("slug", flat=True).first()
    return {
        "tenant": tenant,
        "subscriber": subscriber,
        "status": list(criteria.statuses),
        **{field: ", ".join(getattr(criteria, name)) for field, (name, _) in LISTS.items()},
        "search": criteria.search,
        "back": criteria.back,
        "since": criteria.since,
        "until": criteria.until,
        # The form knows no milliseconds; rounded up, what ended within that second would be left out.
        "ended_since": _whole(criteria.ended_since),
        "ids": ",".join(str(item) for item in criteria.ids),
        "event": criteria.event_id,
    }


def _whole(at: datetime | None) -> datetime | None:
    return at and at - timedelta(microseconds=at.microsecond)


def _time(text: str) -> datetime | None:
    """A "+" that a link did not escape has become a space."""
    try:
        return parse({"since": text.strip().replace(" ", "+")}).since
    except CriteriaError:
        return None


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
