"""A rule as a person writes it in the admin: texts in the unit of its kind, judged by delivery.alerting.rule_values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils import timezone

from delivery.alerting import rule_values
from delivery.alerting.kinds import RuleKind
from delivery.alerting.rule_rows import MUTE_MOST, REASON_CHARS, rule_of
from delivery.alerting.rule_values import RuleError, Values
from delivery.models import AlertRule, AlertSeverity

if TYPE_CHECKING:
    RuleModelForm = forms.ModelForm[AlertRule]
else:
    RuleModelForm = forms.ModelForm

# `for` cannot be a name in a class.
NAMES = {name: "hold_for" if name == rule_values.FOR else name for name in rule_values.FIELDS}
DEFAULT = "Empty: the default of its kind."


def _text(label: str, about: str) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=60, help_text=f"{about} {DEFAULT}")


class RuleForm(RuleModelForm):
    """`is_platform`: whether rules for everybody are this person's to make."""

    is_platform: ClassVar[bool] = True

    threshold = _text(
        "Threshold", "It fires above this: a share (5 %), a count, or a time (10s, 5m, 2h), as its kind has it."
    )
    clear_below = _text("Clear below", "It resolves at or below this; between the two nothing changes.")
    window = _text("Window", "The minutes that are looked at, 1m to 1h.")
    minimum_count = _text("Minimum count", "Fewer attempts or deliveries within the window say nothing.")
    hold_for = _text("For", "It must hold for so long before it fires.")
    clear_for = _text("Clear for", "It must be well for so long before it is resolved.")
    severity = forms.ChoiceField(
        choices=[("", "the default of its kind"), *AlertSeverity.choices],
        required=False,
        help_text="It decides who is called.",
    )

    class Meta:
        model = AlertRule
        fields: ClassVar = ["kind", "tenant", "endpoint", "enabled", "severity", "muted_until", "mute_reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            told = rule_values.written(RuleKind(self.instance.kind), Values.of(rule_of(self.instance)))
            self.initial.update({NAMES[name]: told.get(name, "") for name in rule_values.FIELDS})

    def clean_mute_reason(self) -> str:
        reason = str(self.cleaned_data["mute_reason"])
        if len(reason) > REASON_CHARS:
            raise forms.ValidationError(f"Takes at most {REASON_CHARS} characters.")
        return reason

    def clean_muted_until(self) -> Any:
        until, now = self.cleaned_data["muted_until"], timezone.now()
        if until is not None and "muted_until" in self.changed_data and not now < until <= now + MUTE_MOST:
            raise forms.ValidationError(f"Takes a time in the future, at most {MUTE_MOST.days} days from now.")
        return until

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        kind = RuleKind(cleaned.get("kind", self.instance.kind))  # of a row that is there it is no field
        self._judge_scope(kind, cleaned)
        if cleaned["muted_until"] and not cleaned["mute_reason"]:
            self.add_error("mute_reason", "Say why nobody is to be called.")
        self._judge_values(kind, cleaned)
        return cleaned

    def _judge_scope(self, kind: RuleKind, cleaned: dict[str, Any]) -> None:
        """Of a new one; afterwards kind and scope stay."""
        if "kind" not in self.fields:
            return
        tenant, endpoint = cleaned["tenant"], cleaned["endpoint"]
        if endpoint and tenant is None:
            tenant = cleaned["tenant"] = endpoint.tenant
        try:
            rule_values.check_scope(kind, tenant=tenant is not None, endpoint=endpoint is not None)
        except RuleError as error:
            self._say(error)
        if endpoint and endpoint.tenant_id != tenant.pk:
            self.add_error("endpoint", f"It is not an endpoint of {tenant}.")
        if tenant is None and not self.is_platform:
            self.add_error("tenant", "Takes a tenant: rules for everybody are the platform's.")
        if AlertRule.objects.filter(kind=kind, tenant=tenant, endpoint=endpoint).exists():
            self.add_error("kind", "There is a rule of this kind and scope already: change that one.")

    def _judge_values(self, kind: RuleKind, cleaned: dict[str, Any]) -> None:
        given = {name: cleaned.get(NAMES[name]) for name in rule_values.FIELDS}
        try:
            values = rule_values.read(kind, given)
        except RuleError as error:
            self._say(error)
            return
        for column, value in values.columns().items():
            setattr(self.instance, column, value)
        # What Django writes to the row itself afterwards is the same.
        cleaned |= {name: getattr(values, name) for name in ("threshold", "clear_below", "minimum_count", "severity")}

    def _say(self, error: RuleError) -> None:
        for name, problem in error.problems.items():
            field = NAMES.get(name, name)
            self.add_error(field if field in self.fields else None, f"{problem[0].upper()}{problem[1:]}.")
