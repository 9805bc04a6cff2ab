"""Who gets what: tenants, their endpoints (sinks) with secrets, and the subscriptions that route events to them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypeVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from audit.trail import PLATFORM_CHAIN

SLUG = RegexValidator(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", "Takes 1–63 of a–z, 0–9 and '-', not '-' at an end.")


class Ordering(models.TextChoices):
    """Whether a subscription's deliveries wait for the one before them of the same partition key."""

    NONE = "none", "None"  # as fast as they come
    BLOCK = "block", "In order; a dead one stops its key"  # until somebody replays or passes over it
    SKIP = "skip", "In order; a dead one is passed over"


Row = TypeVar("Row", bound=models.Model)
ARCHIVED = "Deleted then: gone from every list, but for the names of old deliveries."

MIN_RATE_PER_S, MAX_RATE_PER_S = 0.01, 100_000
RATE_VALIDATORS = (MinValueValidator(MIN_RATE_PER_S), MaxValueValidator(MAX_RATE_PER_S))
MAX_IN_FLIGHT = 400  # delivery.transports.lanes: what one process can watch


class Tenant(models.Model):
    """An organisation whose events and endpoints are kept apart from everybody else's."""

    slug = models.CharField(
        max_length=63, unique=True, validators=[SLUG], help_text="The CloudEvents `tenant` attribute."
    )
    name = models.CharField(max_length=200)
    active = models.BooleanField(default=True, help_text="Events of an inactive tenant are refused.")
    rate_limit = models.FloatField(
        null=True,
        blank=True,
        validators=RATE_VALIDATORS,
        help_text="Requests per second over all its endpoints; empty: no limit.",
    )
    approval_replay_count = models.PositiveIntegerField(
        null=True, blank=True, help_text="A replay of more deliveries needs an approval; empty: the platform's number."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            # It would be shown the platform's chain of the audit trail as its own.
            models.CheckConstraint(
                condition=~models.Q(slug=PLATFORM_CHAIN),
                name="tenant_slug_not_the_platforms",
                violation_error_message=f"“{PLATFORM_CHAIN}” is the platform's own name; take another slug.",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Channel(models.TextChoices):
    """How an endpoint is reached. Each has one transport in delivery.transports."""

    WEBHOOK = "webhook", "Webhook"  # HTTP POST, signed by Standard Webhooks
    KAFKA = "kafka", "Kafka topic"  # CloudEvents Kafka binding
    AMQP = "amqp", "AMQP (RabbitMQ)"  # CloudEvents AMQP binding, published with confirms
    PAGERDUTY = "pagerduty", "PagerDuty"  # Events API v2
    CONSOLE = "console", "Ops console"  # the in-app feed


class ContentMode(models.TextChoices):
    """CloudEvents HTTP content modes."""

    STRUCTURED = "structured", "Structured"  # one JSON body with attributes and data
    BINARY = "binary", "Binary"  # attributes in ce- headers, data as the body


class EndpointState(models.TextChoices):
    """What an admin, or the receiver's own answer, decided about an endpoint."""

    ENABLED = "enabled", "Enabled"
    PAUSED = "paused", "Paused"  # by hand: deliveries are held, no attempt is spent
    DISABLED = "disabled", "Disabled"  # answered 410 Gone, or by hand: deliveries end as dead


class Lane(models.TextChoices):
    """Which worker queue an endpoint's first attempts go through, so that a slow one holds nobody."""

    FAST = "fast", "Fast"
    SLOW = "slow", "Slow"


class Signing(models.TextChoices):
    """Standard Webhooks' two ways to sign, by the prefix of their signatures."""

    HMAC = "v1", "HMAC-SHA256 (v1), one shared secret"
    ED25519 = "v1a", "ed25519 (v1a), the receiver holds a public key"


MAX_ROTATE_DAYS = 3650


class Present(models.Manager[Row]):
    """Without what was deleted. That is kept, archived, so that old deliveries keep their names (docs/adr/0021)."""

    def get_queryset(self) -> models.QuerySet[Row]:
        return super().get_queryset().filter(archived_at=None)


class Endpoint(models.Model):
    """A sink: where deliveries go, and how."""

    HEADERS_PURPOSE = "endpoint-headers"
    CREDENTIALS_PURPOSE = "endpoint-credentials"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="endpoints")
    slug = models.CharField(max_length=63, validators=[SLUG])
    name = models.CharField(max_length=200, blank=True)
    channel = models.CharField(max_length=20, choices=Channel.choices, default=Channel.WEBHOOK)
    url = models.CharField(max_length=2000, blank=True, help_text="For webhooks; other channels have settings.")
    config = models.JSONField(default=dict, blank=True, help_text="The channel's settings; nothing secret.")
    sealed_credentials = models.BinaryField(
        null=True, editable=False, help_text="The channel's secret settings (JSON object), sealed."
    )
    template = models.CharField(
        max_length=40, blank=True, help_text="Shapes the request; empty: the CloudEvent itself."
    )
    template_params = models.JSONField(default=dict, blank=True, help_text="What the template asks for.")
    content_mode = models.CharField(max_length=20, choices=ContentMode.choices, default=ContentMode.STRUCTURED)
    sealed_headers = models.BinaryField(
        null=True, editable=False, help_text="Custom headers (JSON), sealed: they carry tokens."
    )
    timeout_s = models.FloatField(
        default=15.0, validators=[MinValueValidator(0.1), MaxValueValidator(20)], help_text="Total deadline, seconds."
    )
    rate_limit = models.FloatField(
        null=True, blank=True, validators=RATE_VALIDATORS, help_text="Requests per second; empty: no limit."
    )
    max_in_flight = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_IN_FLIGHT)],
        help_text="Requests at once over all workers; empty: the default of each worker.",
    )
    signing = models.CharField(
        max_length=10,
        choices=Signing.choices,
        default=Signing.HMAC,
        help_text="How new secrets sign. The one before signs along for a day.",
    )
    rotate_every_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_ROTATE_DAYS)],
        help_text="When its signing secret is due for rotation; empty: the system's default.",
    )
    state = models.CharField(max_length=20, choices=EndpointState.choices, default=EndpointState.ENABLED)
    state_reason = models.CharField(max_length=300, blank=True)
    disabled_by_system = models.BooleanField(
        default=False, editable=False, help_text="410, or days of failure: a second person must approve its return."
    )
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.FAST)
    managed_by = models.CharField(max_length=40, blank=True, editable=False, help_text="'yaml' when a file owns it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False, help_text=ARCHIVED)

    objects = Present["Endpoint"]()
    everything = models.Manager["Endpoint"]()

    class Meta:
        ordering: ClassVar = ["tenant__slug", "slug"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "slug"],
                condition=models.Q(archived_at=None),
                name="endpoint_slug_once_a_tenant",
            ),
            models.CheckConstraint(condition=models.Q(state__in=EndpointState.values), name="endpoint_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.slug}"


class EndpointSecretQuerySet(models.QuerySet["EndpointSecret"]):
    def live(self, now: datetime) -> EndpointSecretQuerySet:
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now))

    def lasting(self) -> EndpointSecretQuerySet:
        """Those that sign until somebody rotates or revokes them."""
        return self.filter(expires_at=None)


class EndpointSecret(models.Model):
    """A signing secret, sealed: whsec_… gives a `v1,` signature, a private key whsk_… a `v1a,` one.

    Several may be live while rotating: each gives one signature. `public_key` is what verifies the ed25519 kind.
    """

    SECRET_PURPOSE = "endpoint-secret"  # noqa: S105 - the name of a purpose, not a secret

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    sealed_secret = models.BinaryField()
    signing = models.CharField(max_length=10, choices=Signing.choices, default=Signing.HMAC)
    public_key = models.CharField(max_length=100, blank=True, help_text="whpk_…, of the ed25519 kind.")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Signs until then; empty: until revoked.")
    reminded_days = models.SmallIntegerField(
        null=True, editable=False, help_text="The last reminder that it is due: so many days before; 0: overdue."
    )

    objects = EndpointSecretQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["endpoint"], condition=models.Q(reminded_days__isnull=False), name="endpoint_secret_reminded"
            ),
        ]

    def __str__(self) -> str:
        return f"secret {self.pk} of endpoint {self.endpoint_id}"


class Subscription(models.Model):
    """Which events of a tenant go to one of its endpoints."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="subscriptions")
    slug = models.CharField(max_length=63, validators=[SLUG])
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="subscriptions")
    types = ArrayField(models.CharField(max_length=200), help_text="Event types, exact or with a last '.*'.")
    tags = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="The event has at least one of these."
    )
    filters = models.JSONField(default=list, blank=True, help_text="CloudEvents Subscriptions filters; all must hold.")
    retry_policy = models.JSONField(null=True, blank=True, help_text="Empty: the standard schedule.")
    ordering = models.CharField(max_length=10, choices=Ordering.choices, default=Ordering.NONE)
    active = models.BooleanField(default=True)
    managed_by = models.CharField(max_length=40, blank=True, editable=False, help_text="'yaml' when a file owns it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False, help_text=ARCHIVED)

    objects = Present["Subscription"]()
    everything = models.Manager["Subscription"]()

    class Meta:
        ordering: ClassVar = ["tenant__slug", "slug"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "slug"],
                condition=models.Q(archived_at=None),
                name="subscription_slug_once_a_tenant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}/{self.slug}"


class SignInIdentity(models.Model):
    """Who an account is at the identity provider: `sub` of `iss`, which OpenID Connect never gives to another."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "sign-in identities"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="sign_in_identity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class AppliedSpec(models.Model):
    """What `manage.py sync_subscriptions` last set on a row of the file; see subscriptions.yaml_sync.applied."""

    class Kind(models.TextChoices):
        TENANT = "tenant", "Tenant"
        ENDPOINT = "endpoint", "Endpoint"
        SUBSCRIPTION = "subscription", "Subscription"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    slug = models.CharField(max_length=63)
    values = models.JSONField(default=dict, help_text="By the file's keys; of secrets the names only.")
    removed = models.BooleanField(default=False, help_text="The file has stopped naming it.")
    applied_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "kind", "slug"], name="applied_spec_once_a_row"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.tenant_id}/{self.slug}"
