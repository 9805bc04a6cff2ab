from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property

from subscriptions.channels.base import ChannelSpec
from subscriptions.channels.checks import check_settings
from subscriptions.channels.registry import SPECS
from subscriptions.forms.settings import KEPT, NO_FILL, SettingsGroup
from subscriptions.forms.words import TAKEN, is_taken, refuse, sentence
from subscriptions.models import Channel, Endpoint
from subscriptions.routing import open_credentials, open_headers
from subscriptions.services import seal_credentials, seal_headers
from subscriptions.templating import HOOK_URL, Template, check_params, keep_url
from subscriptions.templating import check_url as check_template_url
from subscriptions.webhook_rules import MAX_HEADERS, check_header, check_url

if TYPE_CHECKING:
    EndpointModelForm = forms.ModelForm[Endpoint]
else:
    EndpointModelForm = forms.ModelForm

Pairs = list[tuple[str, str]]


def settings_group(spec: ChannelSpec) -> SettingsGroup:
    return SettingsGroup("settings", spec.fields)


def params_group(template: Template | None) -> SettingsGroup:
    if template is None:
        return SettingsGroup("template_params")
    return SettingsGroup("template_params", template.fields, template.long_fields, keeps_defaults=False)


class WrittenOnly(forms.Textarea):
    """What is typed does not come back when the page is shown again with errors: it may be a secret."""

    def format_value(self, value: Any) -> str:
        return ""


class EndpointForm(EndpointModelForm):
    """One channel's form; `endpoint_form` makes it. Stored headers and secret settings are never shown.

    Of headers the names are shown, and new ones replace all of them; a secret setting stays when its field is empty.
    """

    spec: ClassVar[ChannelSpec] = SPECS[Channel.WEBHOOK]
    template: ClassVar[Template | None] = None
    settings: ClassVar[SettingsGroup] = settings_group(spec)
    params: ClassVar[SettingsGroup] = params_group(None)

    new_headers = forms.CharField(
        label="Custom headers",
        required=False,
        strip=False,
        widget=WrittenOnly(attrs={"rows": 4, "cols": 60, "autocomplete": "off", "spellcheck": "false"}),
    )
    remove_headers = forms.BooleanField(label="Remove all custom headers", required=False)

    class Meta:
        model = Endpoint
        fields = (
            "tenant",
            "slug",
            "name",
            "url",
            "content_mode",
            "timeout_s",
            "lane",
            "rate_limit",
            "max_in_flight",
            "signing",
            "rotate_every_days",
        )
        labels: ClassVar = {
            "url": "URL",
            "timeout_s": "Timeout, seconds",
            "rate_limit": "Requests a second",
            "max_in_flight": "Requests at once",
            "rotate_every_days": "Rotate every so many days",
        }
        help_texts: ClassVar = {
            "rate_limit": "0.01 to 100,000; empty: no limit.",
            "max_in_flight": "Over all workers; empty: the default of each worker.",
            "timeout_s": "From sending to the answer's last byte, 0.1 to 20.",
            "signing": "A change makes a new key; the present one signs along for 24 hours.",
            "rotate_every_days": "Reminders come 30, 7 and 1 day before; empty: the system's default.",
            "lane": "Slow ones have workers of their own, so that they hold up nobody.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint, name = self.instance, self.template.name if self.template else ""
        self.initial.update(channel=endpoint.channel, template=endpoint.template)
        self._stored = open_credentials(endpoint)
        # Another template's secrets are another service's: a token does not follow its name there.
        self._stored_of_template = self._stored if endpoint.template == name else {}
        self.settings.show_stored(self.fields, endpoint.config, set(self._stored))
        if endpoint.template == name:
            self.params.show_stored(self.fields, endpoint.template_params, set(self._stored))
        if "url" in self.fields:
            self.fields["url"].required = True
            self.fields["url"].help_text = f"Such as {self.template.url.example}" if self.template else ""
            self._hide_url()
        if "signing" in self.fields:
            self.fields["signing"].required = False  # left out, it stays
        if "new_headers" in self.fields:
            names = ", ".join(name for name, _ in open_headers(self.instance)) or "none"
            text = f"One 'Name: value' a line; replaces those that are set now ({names}). Empty: they stay."
            self.fields["new_headers"].help_text = text

    def _hide_url(self) -> None:
        """Of a URL that is itself a secret; it stays when the field is left empty, for the template that it was given for."""
        if self.template is None or not self.template.url.is_secret:
            if HOOK_URL in self._stored:
                self.initial["url"] = ""  # another template's page: the host alone would be no URL
            return
        field = self.fields["url"]
        field.widget = forms.PasswordInput(attrs={"class": "vTextField", **NO_FILL})
        self.initial["url"] = ""
        if HOOK_URL in self._stored_of_template:
            field.required = False
            field.help_text = f"{field.help_text}. {KEPT}"

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.errors and self.cleaned_data.get("new_headers"):
            self.add_error("new_headers", "Enter them again: they are not shown.")

    @cached_property
    def changed_data(self) -> list[str]:
        """With the channel and the template, which stand in the page's address and are no fields."""
        changed = list(super().changed_data)
        new = self.instance._state.adding
        return changed + [name for name, value in self._way().items() if new or value != self.initial[name]]

    def _way(self) -> dict[str, str]:
        return {"channel": self.spec.channel.value, "template": self.template.name if self.template else ""}

    def clean_signing(self) -> str:
        return str(self.cleaned_data["signing"]) or self.instance.signing

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]) or self._stored_of_template.get(HOOK_URL, "")
        refuse(check_url(url) if self.template is None else check_template_url(self.template, url))
        return url

    def clean_new_headers(self) -> Pairs:
        lines = [line for line in self.cleaned_data["new_headers"].splitlines() if line.strip()]
        if len(lines) > MAX_HEADERS:
            raise ValidationError(f"Takes at most {MAX_HEADERS} headers.")
        return [_header(number, line) for number, line in enumerate(lines, 1)]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        tenant = self.cleaned_data.get("tenant") or (self.instance.tenant if self.instance.tenant_id else None)
        if is_taken(self.instance, tenant, self.cleaned_data.get("slug")):
            self.add_error("slug", TAKEN)
        if self.cleaned_data.get("new_headers") and self.cleaned_data.get("remove_headers"):
            self.add_error("remove_headers", "Either new headers or none, not both.")
        self.cleaned_data |= self._way()
        self._config, credentials = self.settings.read(self.cleaned_data, self._stored)
        self._params, secrets = self.params.read(self.cleaned_data, self._stored_of_template)
        self._url, hook = keep_url(self.template, self.cleaned_data.get("url") or "")
        self._credentials = credentials | secrets | hook
        self._refuse(self.settings, check_settings(self.spec, self._config, credentials))
        if self.template is not None:
            self._refuse(self.params, check_params(self.template, self._params, secrets))
        return cleaned

    def _refuse(self, group: SettingsGroup, problems: dict[str, str]) -> None:
        """What Django found at a field already is not said twice; what no field is to blame for stands above the form."""
        names = {field.name: group.form_name(field) for field in group.fields}
        for name, problem in problems.items():
            at = names.get(name)
            if at is None or at not in self.errors:
                self.add_error(at, sentence(problem))

    def save(self, commit: bool = True) -> Endpoint:
        cleaned, endpoint = self.cleaned_data, self.instance
        if cleaned.get("new_headers") or cleaned.get("remove_headers"):
            endpoint.sealed_headers = seal_headers(cleaned["new_headers"])
        endpoint.channel, endpoint.template, endpoint.url = cleaned["channel"], cleaned["template"], self._url
        endpoint.config, endpoint.template_params = self._config, self._params
        if self._credentials != self._stored:
            endpoint.sealed_credentials = seal_credentials(self._credentials)
        return super().save(commit)


def endpoint_form(spec: ChannelSpec, template: Template | None = None) -> type[EndpointForm]:
    """The form of one channel's endpoints; for webhooks, of one template's."""
    settings, params = settings_group(spec), params_group(template)
    body: dict[str, Any] = {"spec": spec, "template": template, "settings": settings, "params": params}
    body |= settings.declared() | params.declared()
    if not spec.takes_url:  # custom headers are HTTP's
        body |= {"new_headers": None, "remove_headers": None}
    return type("EndpointForm", (EndpointForm,), body)


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
