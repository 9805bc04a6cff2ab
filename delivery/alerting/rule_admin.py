"""The admin's page of alert rules: what a person makes or changes is theirs, no more the file's; muting is not a change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from audit.audited_admin import AuditedAdmin, actor_of
from delivery.alerting import quantities, rule_rows
from delivery.alerting.kinds import KINDS, RuleKind
from delivery.alerting.rule_form import RuleForm
from delivery.alerting.rule_rows import rule_of
from delivery.alerting.rule_values import THRESHOLD, WINDOW, Values, fields_of, written
from delivery.models import AlertRule
from eventcenter.access.admin_scope import TenantScoped
from eventcenter.access.principal import principal_of
from eventcenter.access.roles import Permission

SCOPE = ("kind", "tenant", "endpoint")
MUTE = ("muted_until", "mute_reason")


@admin.register(AlertRule)
class AlertRuleAdmin(TenantScoped, AuditedAdmin[AlertRule]):
    """A tenant's rules are its admins'; those for everybody the platform's."""

    noun = rule_rows.NOUN
    form = RuleForm
    list_display = ("kind", "scope", "fires_above", "looks_at", "severity", "enabled", "muted", "managed", "updated_at")
    list_select_related = ("tenant", "endpoint__tenant")
    list_filter = ("kind", "severity", "enabled", "managed", ("tenant", admin.RelatedOnlyFieldListFilter))
    search_fields = ("kind", "tenant__slug", "endpoint__slug")
    ordering = ("kind", "tenant__slug", "endpoint__slug")
    autocomplete_fields = ("tenant", "endpoint")
    readonly_fields = ("managed", "updated_at")
    fieldsets = (
        (
            None,
            {
                "fields": (*SCOPE, "enabled"),
                "description": "The narrowest rule holds: an endpoint's, else its tenant's, else everybody's, else the default.",
            },
        ),
        (
            "When",
            {"fields": ("threshold", "clear_below", "window", "minimum_count", "hold_for", "clear_for", "severity")},
        ),
        ("Mute", {"fields": MUTE, "description": "What fires is shown; nobody is called."}),
        ("About", {"fields": ("managed", "updated_at")}),
    )
    actions = ("mute_hour", "mute_shift", "mute_day", "unmute_selected")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._may(request, "delete", obj)

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *SCOPE) if obj else self.readonly_fields

    def get_form(
        self, request: HttpRequest, obj: AlertRule | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[AlertRule]]:
        form = super().get_form(request, obj, change, **kwargs)
        is_platform = Permission.ADMINISTER in principal_of(request).everywhere
        return type("RuleForm", (form,), {"is_platform": is_platform})

    def save_model(self, request: HttpRequest, obj: AlertRule, form: ModelForm[AlertRule], change: bool) -> None:
        before = AlertRule.objects.get(pk=obj.pk) if change else None
        changed = _told(before, obj)
        if change and not changed:
            return
        if obj.managed and not set(changed) <= set(MUTE):
            obj.managed = False
            text = "It is not the file's any more: the next sync_alert_rules refuses to run until it is told to --adopt it."
            messages.warning(request, text)
        obj.save()
        details: dict[str, object] = {**changed, "fields": sorted(changed)}
        rule_rows.record_change(obj, actor_of(request), "changed" if change else "created", details)

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        rule_rows.remove(obj, actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        for row in queryset.select_related("tenant", "endpoint__tenant"):
            rule_rows.remove(row, actor_of(request))

    @admin.display(description="For", ordering="tenant__slug")
    def scope(self, row: AlertRule) -> str:
        return rule_rows.scope_text(row)

    @admin.display(description="Fires above", ordering="threshold")
    def fires_above(self, row: AlertRule) -> str:
        kind = KINDS[RuleKind(row.kind)]
        return quantities.text(kind.unit, row.threshold) if THRESHOLD in fields_of(kind) else "–"

    @admin.display(description="Within", ordering="window_s")
    def looks_at(self, row: AlertRule) -> str:
        return quantities.short(row.window_s) if WINDOW in fields_of(KINDS[RuleKind(row.kind)]) else "–"

    @admin.display(description="Muted", ordering="muted_until")
    def muted(self, row: AlertRule) -> str:
        if not rule_of(row).is_muted(timezone.now()):
            return "–"
        return f"until {row.muted_until:%Y-%m-%d %H:%M} UTC: {row.mute_reason}"

    @admin.action(description="Mute for an hour: nobody is called", permissions=["change"])
    def mute_hour(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._mute(request, queryset, 1)

    @admin.action(description="Mute for 8 hours", permissions=["change"])
    def mute_shift(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._mute(request, queryset, 8)

    @admin.action(description="Mute for 24 hours", permissions=["change"])
    def mute_day(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._mute(request, queryset, 24)

    @admin.action(description="End the mute: what fires calls from now on", permissions=["change"])
    def unmute_selected(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        rows = queryset.select_related("tenant", "endpoint__tenant")
        messages.success(request, f"{sum(rule_rows.unmute(row, actor_of(request)) for row in rows)} unmuted.")

    def _mute(self, request: HttpRequest, queryset: QuerySet[AlertRule], hours: int) -> None:
        until, reason = timezone.now() + timedelta(hours=hours), f"Muted by {request.user.get_username()}."
        rows = list(queryset.select_related("tenant", "endpoint__tenant"))
        for row in rows:
            rule_rows.mute(row, until, reason, actor_of(request))
        messages.success(request, f"{len(rows)} muted until {until:%Y-%m-%d %H:%M} UTC.")


def _told(before: AlertRule | None, after: AlertRule) -> dict[str, object]:
    """What changed, before and after in the words of the file; of a new one all that it says."""
    new = _words(after)
    old = dict.fromkeys(new) if before is None else _words(before)
    return {name: [old[name], value] for name, value in new.items() if old[name] != value}


def _words(row: AlertRule) -> dict[str, object]:
    until = row.muted_until.isoformat() if row.muted_until else ""
    kind = RuleKind(row.kind)
    return {**written(kind, Values.of(rule_of(row))), "muted_until": until, "mute_reason": row.mute_reason}
