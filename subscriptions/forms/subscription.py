from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from subscriptions.checks import check_tags, check_types
from subscriptions.durations import duration_text
from subscriptions.filters import validate_filters
from subscriptions.forms.problems import Found, problems_of
from subscriptions.forms.words import TAKEN, is_taken, refuse, sentence
from subscriptions.models import Endpoint, Subscription
from subscriptions.retry_policy import (
    NAME,
    NAMED_POLICIES,
    STANDARD,
    PolicyError,
    parse_policy,
    stored_policy,
)

if TYPE_CHECKING:
    SubscriptionModelForm = forms.ModelForm[Subscription]
else:
    SubscriptionModelForm = forms.ModelForm

# Form field → field of the policy.
POLICY_FIELDS = {
    "retry_name": NAME,
    "retry_waits": "schedule_s",
    "retry_jitter": "jitter_share",
    "retry_max_age": "max_age_s",
    "retry_permanent": "permanent_statuses",
}
FORM_WORDS = {"jitter_share": "takes a percentage from 0 to 100"}
POLICY_CHOICES = [(name, named.label) for name, named in NAMED_POLICIES.items()]


def _override(label: str, help_text: str) -> forms.CharField:
    attrs = {"class": "vTextField", "placeholder": "as the policy says"}
    return forms.CharField(label=label, required=False, help_text=help_text, widget=forms.TextInput(attrs=attrs))


class SubscriptionForm(SubscriptionModelForm):
    """The retry policy is one value in the table and five fields here; in the audit trail it is one again."""

    retry_name = forms.ChoiceField(label="Retry policy", choices=POLICY_CHOICES, initial=STANDARD)
    retry_waits = _override("Waits between attempts", "Such as 5s, 5m, 30m, 2h; the first attempt goes at once.")
    retry_jitter = _override("Jitter, %", "Up to this share of a wait is added at random, 0 to 100.")
    retry_max_age = _override("Maximum age", "Such as 2d; a delivery that is older is dead, held ones too.")
    retry_permanent = _override("Permanent answers", "Status codes after which no retry can help, such as 400, 422.")

    class Meta:
        model = Subscription
        fields: ClassVar[tuple[str, ...]] = (
            "tenant",
            "slug",
            "endpoint",
            "types",
            "tags",
            "filters",
            "ordering",
            "active",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["retry_policy"] = self.instance.retry_policy
        self.initial.update(_written(_usable(self.instance.retry_policy)))

    @cached_property
    def changed_data(self) -> list[str]:
        """For the audit trail and the history: whether the policy changed, not which way it was written."""
        changed = [name for name in super().changed_data if name not in POLICY_FIELDS]
        policy = self.cleaned_data.get("retry_policy") if hasattr(self, "cleaned_data") else None
        return changed if policy == self.initial["retry_policy"] else [*changed, "retry_policy"]

    def clean_types(self) -> list[str]:
        types = list(self.cleaned_data["types"])
        refuse(check_types(types))
        return types

    def clean_tags(self) -> list[str]:
        tags = list(self.cleaned_data["tags"] or [])
        refuse(check_tags(tags))
        return tags

    def clean_filters(self) -> list[object]:
        filters = self.cleaned_data["filters"] or []
        problems = validate_filters(filters)
        if problems:
            raise ValidationError([str(problem) for problem in problems])
        return list(filters)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        tenant = self.cleaned_data.get("tenant") or (self.instance.tenant if self.instance.tenant_id else None)
        endpoint = self.cleaned_data.get("endpoint")
        if is_taken(self.instance, tenant, self.cleaned_data.get("slug")):
            self.add_error("slug", TAKEN)
        if tenant and endpoint and endpoint.tenant_id != tenant.pk:
            self.add_error("endpoint", f"This endpoint belongs to {endpoint.tenant.slug}, not to {tenant.slug}.")
        self._clean_policy()
        return cleaned

    def _clean_policy(self) -> None:
        try:
            self.cleaned_data["retry_policy"] = stored_policy(_policy_data(self.cleaned_data))
        except PolicyError as error:
            for form_name, field in POLICY_FIELDS.items():
                if field in error.errors:
                    self.add_error(form_name, sentence(FORM_WORDS.get(field, error.errors[field])))

    @property
    def form(self) -> SubscriptionForm:
        return self

    def problems(self) -> Found:
        """As programs name them. Empty: it may be saved."""
        return problems_of(self, dict.fromkeys(POLICY_FIELDS, "retry_policy"))

    def save(self, commit: bool = True) -> Subscription:
        self.instance.retry_policy = self.cleaned_data["retry_policy"]
        return super().save(commit)


class OwnSubscriptionForm(SubscriptionForm):
    """Of a tenant that is not for choosing: the instance has it."""

    tenant = None

    class Meta(SubscriptionForm.Meta):
        fields = SubscriptionForm.Meta.fields[1:]
        labels: ClassVar = {"active": "Active: events go to it"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = self.fields["endpoint"]
        assert isinstance(endpoint, forms.ModelChoiceField)
        endpoint.queryset = Endpoint.objects.filter(tenant_id=self.instance.tenant_id).select_related("tenant")
        self.fields["filters"].widget.attrs["rows"] = 4
        self.fields["ordering"].required = True


def _usable(stored: object) -> dict[str, object]:
    """A policy that got past the checks is not shown: workers take the standard one in its place."""
    try:
        parse_policy(stored if isinstance(stored, dict) else {})
    except PolicyError:
        return {}
    return stored if isinstance(stored, dict) else {}


def _written(stored: dict[str, object]) -> dict[str, str]:
    """A stored policy's fields as people write them."""
    texts = {form_name: _text(field, stored[field]) for form_name, field in POLICY_FIELDS.items() if field in stored}
    return {"retry_name": STANDARD} | texts


def _text(field: str, value: Any) -> str:
    match field:
        case "schedule_s":
            return ", ".join(duration_text(wait) for wait in value[1:]) or "none"
        case "jitter_share":
            return f"{value * 100:g}"
        case "max_age_s":
            return duration_text(value)
        case "permanent_statuses":
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)


def _policy_data(cleaned: dict[str, Any]) -> dict[str, object]:
    """What was written, for `stored_policy`; what cannot be read stays text, so that it is refused there."""
    written = {field: cleaned.get(form_name, "") for form_name, field in POLICY_FIELDS.items()}
    data: dict[str, object] = {field: text for field, text in written.items() if text}
    if "schedule_s" in data:
        data["schedule_s"] = [0, *_words(written["schedule_s"])]
    if "jitter_share" in data:
        data["jitter_share"] = _share(written["jitter_share"])
    if "permanent_statuses" in data:
        words = _words(written["permanent_statuses"])
        data["permanent_statuses"] = [int(word) if word.isdecimal() else word for word in words]
    return data


def _words(text: str) -> list[str]:
    """Commas and line breaks divide; "none" is the empty list, where an empty field means the named policy's own."""
    words = [word.strip() for word in text.replace("\n", ",").split(",")]
    return [] if words == ["none"] else [word for word in words if word]


def _share(text: str) -> object:
    try:
        return round(float(text.rstrip(" %")) / 100, 4)
    except ValueError:
        return text
