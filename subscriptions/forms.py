"""The admin's forms: what models alone cannot check, each problem at its field and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from subscriptions.checks import check_tags, check_types
from subscriptions.filters import validate_filters
from subscriptions.models import Endpoint, Subscription
from subscriptions.routing import open_headers
from subscriptions.services import seal_headers
from subscriptions.webhook_rules import MAX_HEADERS, check_header, check_url

if TYPE_CHECKING:
    EndpointModelForm = forms.ModelForm[Endpoint]
    SubscriptionModelForm = forms.ModelForm[Subscription]
else:
    EndpointModelForm = SubscriptionModelForm = forms.ModelForm

Pairs = list[tuple[str, str]]


class EndpointForm(EndpointModelForm):
    """Stored headers are never shown: their names are, and new ones replace all of them."""

    new_headers = forms.CharField(
        label="Custom headers",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60, "autocomplete": "off", "spellcheck": "false"}),
    )
    remove_headers = forms.BooleanField(label="Remove all custom headers", required=False)

    class Meta:
        model = Endpoint
        fields = ("tenant", "slug", "name", "url", "content_mode", "timeout_s", "lane")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = ", ".join(name for name, _ in open_headers(self.instance)) or "none"
        self.fields[
            "new_headers"
        ].help_text = f"One 'Name: value' a line; replaces those that are set now ({names}). Empty: they stay."

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        _raise(check_url(url))
        return url

    def clean_new_headers(self) -> Pairs:
        lines = [line for line in self.cleaned_data["new_headers"].splitlines() if line.strip()]
        if len(lines) > MAX_HEADERS:
            raise ValidationError(f"Takes at most {MAX_HEADERS} headers.")
        return [_header(number, line) for number, line in enumerate(lines, 1)]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("new_headers") and self.cleaned_data.get("remove_headers"):
            self.add_error("remove_headers", "Either new headers or none, not both.")
        return cleaned

    def save(self, commit: bool = True) -> Endpoint:
        if self.cleaned_data["new_headers"] or self.cleaned_data["remove_headers"]:
            self.instance.sealed_headers = seal_headers(self.cleaned_data["new_headers"])
        return super().save(commit)


class SubscriptionForm(SubscriptionModelForm):
    class Meta:
        model = Subscription
        fields = ("tenant", "slug", "endpoint", "types", "tags", "filters", "active")

    def clean_types(self) -> list[str]:
        types = list(self.cleaned_data["types"])
        _raise(check_types(types))
        return types

    def clean_tags(self) -> list[str]:
        tags = list(self.cleaned_data["tags"] or [])
        _raise(check_tags(tags))
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
        if tenant and endpoint and endpoint.tenant_id != tenant.pk:
            self.add_error("endpoint", f"This endpoint belongs to {endpoint.tenant.slug}, not to {tenant.slug}.")
        return cleaned


def _raise(problem: str | None) -> None:
    if problem:
        raise ValidationError(f"{problem[0].upper()}{problem[1:]}.")


def _header(number: int, line: str) -> tuple[str, str]:
    """Never repeats the value: it may be a token, and error pages are seen by others."""
    name, colon, value = line.partition(":")
    if not colon:
        raise ValidationError(f"Line {number}: takes 'Name: value'.")
    pair = (name.strip(), value.strip())
    problem = check_header(*pair)
    if problem:
        raise ValidationError(f"Line {number}: {problem}.")
    return pair
