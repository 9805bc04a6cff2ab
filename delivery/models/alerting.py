"""Alerts, the rules that make them, and the people who are called: incident, contact and page."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from delivery.alerting.kinds import RuleKind
from eventcenter.ids import new_id


class AlertSeverity(models.TextChoices):
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class AlertRule(models.Model):
    """When a kind of alert fires, for everybody or, in place of that row, for one tenant or one endpoint.

    Without any row the kind's defaults hold (delivery.alerting.kinds). `threshold` is in the unit of its kind, and so are
    the meanings of the window and the minimum count.
    """

    kind = models.TextField(choices=RuleKind.choices)
    tenant = models.ForeignKey(
        "subscriptions.Tenant", models.CASCADE, null=True, blank=True, related_name="alert_rules"
    )
    endpoint = models.ForeignKey(
        "subscriptions.Endpoint", models.CASCADE, null=True, blank=True, related_name="alert_rules"
    )
    enabled = models.BooleanField(default=True)
    threshold = models.FloatField(help_text="It fires above this.")
    clear_below = models.FloatField(help_text="It resolves at or below this; between the two nothing changes.")
    window_s = models.PositiveIntegerField(help_text="Seconds that are looked at.")
    minimum_count = models.PositiveIntegerField(default=0, help_text="Fewer than this many say nothing.")
    for_s = models.PositiveIntegerField(default=0, help_text="It must hold for so long before it fires.")
    clear_for_s = models.PositiveIntegerField(
        default=60, help_text="It must be well for so long before it is resolved."
    )
    severity = models.TextField(choices=AlertSeverity.choices, default=AlertSeverity.WARNING)
    muted_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then nobody is called; it is still shown."
    )
    mute_reason = models.TextField(default="", blank=True)
    managed = models.BooleanField(default=False, help_text="Made by config/events/alert-rules.yaml.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["kind", "tenant_id", "endpoint_id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=RuleKind.values), name="alert_rule_kind_known"),
            models.CheckConstraint(
                condition=models.Q(clear_below__lte=models.F("threshold")), name="alert_rule_clears_below"
            ),
            models.UniqueConstraint(
                fields=["kind", "tenant", "endpoint"], nulls_distinct=False, name="alert_rule_once_a_scope"
            ),
        ]

    def __str__(self) -> str:
        place = self.endpoint or self.tenant or "everywhere"
        return f"{self.kind}, {place}"


class AlertState(models.TextChoices):
    """Open until resolved. A pending one that passes away is deleted: it was never said."""

    PENDING = "pending", "Pending"  # its rule holds, though not yet for as long as it takes
    FIRING = "firing", "Firing"
    RESOLVED = "resolved", "Resolved"


class Incident(models.Model):
    """Alerts of one cause while any of them fires: what a person is called for, once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant_id = models.BigIntegerField(null=True, blank=True)
    cause = models.TextField(help_text="endpoint:42, tenant:7, platform:consumer …")
    severity = models.TextField(choices=AlertSeverity.choices)
    summary = models.TextField(help_text="Of the alert that opened it.")
    opened_at = models.DateTimeField(db_default=Now())
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.TextField(default="", blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["cause"], condition=models.Q(resolved_at=None), name="incident_open_once_a_cause"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cause} {self.summary}"


class Alert(models.Model):
    """Something that a person should look at; open until `resolved_at`. One open alert a `dedup_key`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.TextField(help_text="A rule's kind, such as failure_rate or endpoint.disabled.")
    dedup_key = models.TextField()
    state = models.TextField(choices=AlertState.choices, default=AlertState.FIRING)
    severity = models.TextField(choices=AlertSeverity.choices, default=AlertSeverity.WARNING)
    tenant_id = models.BigIntegerField(null=True, blank=True)
    endpoint_id = models.BigIntegerField(null=True, blank=True)
    incident = models.ForeignKey(Incident, models.SET_NULL, null=True, blank=True, related_name="alerts")
    muted = models.BooleanField(default=False, help_text="Its rule was muted when it fired: nobody was called.")
    summary = models.TextField()
    details = models.JSONField(default=dict, blank=True)
    raised_at = models.DateTimeField(db_default=Now(), help_text="When it was first seen, pending or not.")
    fired_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(db_default=Now())
    well_since = models.DateTimeField(null=True, blank=True, help_text="Firing, and its rule does not hold since then.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    noticed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the sweep looked whether a work order is to be opened."
    )

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dedup_key"], condition=models.Q(resolved_at=None), name="alert_open_once_a_key"
            ),
            models.CheckConstraint(condition=models.Q(state__in=AlertState.values), name="alert_state_known"),
            models.CheckConstraint(
                condition=models.Q(state=AlertState.RESOLVED, resolved_at__isnull=False)
                | (~models.Q(state=AlertState.RESOLVED) & models.Q(resolved_at=None)),
                name="alert_resolved_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.summary}"


class ContactChannel(models.TextChoices):
    PAGERDUTY = "pagerduty", "PagerDuty"
    EMAIL = "email", "E-mail"


class AlertContact(models.Model):
    """Who is called: a PagerDuty service or an e-mail address, for one tenant's alerts or, without one, for all."""

    ROUTING_KEY_PURPOSE: ClassVar[str] = "alert-contact-routing-key"

    name = models.TextField()
    tenant = models.ForeignKey(
        "subscriptions.Tenant", models.CASCADE, null=True, blank=True, related_name="alert_contacts"
    )
    channel = models.TextField(choices=ContactChannel.choices)
    address = models.TextField(default="", blank=True, help_text="E-mail only.")
    sealed_routing_key = models.BinaryField(null=True, blank=True, help_text="PagerDuty's integration key, encrypted.")
    least_severity = models.TextField(choices=AlertSeverity.choices, default=AlertSeverity.WARNING)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(channel__in=ContactChannel.values), name="contact_channel_known"),
            models.UniqueConstraint(fields=["tenant", "name"], nulls_distinct=False, name="contact_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class PageAction(models.TextChoices):
    """As PagerDuty's Events API v2 names them."""

    TRIGGER = "trigger", "Trigger"
    ACKNOWLEDGE = "acknowledge", "Acknowledge"
    RESOLVE = "resolve", "Resolve"


class Page(models.Model):
    """One call of one contact about one incident: written with the incident, sent after the commit, kept until it is sent."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant_id = models.BigIntegerField(null=True, blank=True)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="pages")
    contact = models.ForeignKey(AlertContact, models.CASCADE, related_name="pages")
    action = models.TextField(choices=PageAction.choices)
    body = models.JSONField(default=dict, help_text="What is said; no secret.")
    created_at = models.DateTimeField(db_default=Now())
    tries = models.IntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True, help_text="None once it was sent or given up.")
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(default="", blank=True, help_text="Of the last try.")

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(action__in=PageAction.values), name="page_action_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], condition=models.Q(next_at__isnull=False), name="page_due"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.incident_id}"
