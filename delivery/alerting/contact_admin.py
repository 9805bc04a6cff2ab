"""The admin's page of alert contacts. A tenant's own are its admins' to make, those for all are the platform's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from audit.audited_admin import AuditedAdmin
from delivery.alerting import outbox
from delivery.alerting.calling import Result
from delivery.alerting.contacts import chain_of, check_integration_key, seal_routing_key, send_test
from delivery.models import AlertContact, ContactChannel
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission

if TYPE_CHECKING:
    ContactModelForm = forms.ModelForm[AlertContact]
else:
    ContactModelForm = forms.ModelForm

TESTED_MOST = 10
SET = "It is set; leave it empty to keep it."


class ContactForm(ContactModelForm):
    name = forms.CharField(max_length=100)
    address = forms.CharField(max_length=254, required=False, help_text="E-mail only.")
    routing_key = forms.CharField(
        label="Integration key",
        required=False,
        max_length=100,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"}),
        help_text="PagerDuty only: of an Events API v2 integration on a service. It is kept encrypted and never shown again.",
    )

    class Meta:
        model = AlertContact
        fields: ClassVar = ["tenant", "name", "channel", "address", "least_severity", "enabled"]
        help_texts: ClassVar = {
            "tenant": "Empty: the alerts of all tenants and of the platform.",
            "least_severity": "Alerts below it call nobody here.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.sealed_routing_key is not None and "routing_key" in self.fields:
            self.fields["routing_key"].help_text = SET

    def clean_routing_key(self) -> str:
        key = str(self.cleaned_data["routing_key"])
        fault = check_integration_key(key) if key else None
        if fault:
            raise ValidationError(f"{fault[0].upper()}{fault[1:]}.")
        return key

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        channel = cleaned.get("channel", self.instance.channel)  # not in the form of one that there is
        if channel == ContactChannel.EMAIL:
            self._check_email(cleaned)
        elif channel == ContactChannel.PAGERDUTY:
            self._check_pagerduty(cleaned)
        return cleaned

    def _check_email(self, cleaned: dict[str, Any]) -> None:
        if not settings.EMAIL_HOST:
            self.add_error("address", "E-mail is not set up here: whoever runs the system sets EMAIL_URL.")
        try:
            validate_email(cleaned.get("address", ""))
        except ValidationError:
            self.add_error("address", "Takes one e-mail address, such as on-call@example.com.")
        if cleaned.get("routing_key"):
            self.add_error("routing_key", "Takes nothing for e-mail.")

    def _check_pagerduty(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("address"):
            self.add_error("address", "Takes nothing for PagerDuty.")
        if "routing_key" in cleaned and not cleaned["routing_key"] and self.instance.sealed_routing_key is None:
            self.add_error("routing_key", "Takes the 32 letters and digits of an integration key.")

    def save(self, commit: bool = True) -> AlertContact:
        if self.cleaned_data["routing_key"]:
            self.instance.sealed_routing_key = seal_routing_key(self.cleaned_data["routing_key"])
        return super().save(commit)


@admin.register(AlertContact)
class AlertContactAdmin(TenantScoped, AuditedAdmin[AlertContact]):
    """A contact is not deleted, it is switched off: who was called stays known."""

    noun = "contact"
    audit_values = ("name", "channel", "address", "least_severity", "enabled")
    form = ContactForm
    list_display = ("name", "tenant_name", "channel", "address", "least_severity", "enabled", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("channel", "enabled", "least_severity", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "address", "tenant__slug")
    ordering = ("tenant__slug", "name")
    fields: ClassVar = ("tenant", "name", "channel", "address", "routing_key", "least_severity", "enabled")
    actions = ("test_selected",)

    def get_readonly_fields(self, request: HttpRequest, obj: AlertContact | None = None) -> tuple[str, ...]:
        """A contact stays its tenant's, and its channel's: another one is another contact."""
        return ("tenant", "channel") if obj else ()

    def get_form(
        self, request: HttpRequest, obj: AlertContact | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[AlertContact]]:
        """Without a tenant it would hear of everybody's alerts: that is the platform's to say."""
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None and Permission.ADMINISTER not in principal_of(request).everywhere:
            form.base_fields["tenant"].required = True
        return form

    def save_model(self, request: HttpRequest, obj: AlertContact, form: ModelForm[AlertContact], change: bool) -> None:
        """What could not be said to it is tried again: the key or the address may be right now."""
        super().save_model(request, obj, form, change)
        if change:
            outbox.call_again(obj, timezone.now())

    def audit_chain(self, obj: AlertContact) -> str:
        return chain_of(obj)

    @admin.display(description="Tenant", ordering="tenant__slug")
    def tenant_name(self, row: AlertContact) -> str:
        return row.tenant.slug if row.tenant else "all (platform)"

    @admin.action(description="Send a test page: a call and its end, at once", permissions=["change"])
    def test_selected(self, request: HttpRequest, queryset: QuerySet[AlertContact]) -> None:
        for contact in queryset.select_related("tenant")[:TESTED_MOST]:
            answer = send_test(contact, principal_of(request).actor)
            say = messages.success if answer.result is Result.SENT else messages.error
            say(request, f"{contact.name}: {answer.words}")
