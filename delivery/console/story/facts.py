"""What is known of one delivery, read once for its page: a bounded number of queries and of bytes, however long its story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import BinaryField, F, Func, IntegerField

from audit.models import AuditEntry
from delivery.models import Alert, Attempt, Breaker, Delivery, OrderedDelivery
from delivery.outcome import ErrorKind
from delivery.states import OPEN_STATUSES, DeliveryStatus
from eventcenter.ids import id_floor
from subscriptions.retry_policy import DEFAULT_POLICY, STANDARD, PolicyError, RetryPolicy, parse_policy

EXCERPT_BYTES = 4096
ATTEMPTS_MOST = 40
SIBLINGS_MOST = 20
BEHIND_MOST = 1_000
# The trail has no index by target: so many of the tenant's newest entries are looked at.
ENTRIES_LOOKED_AT = 2_000
ENTRIES_MOST = 100
_MILLISECOND_IDS = 1 << 80


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt with the beginning of its answer. `size`: of the whole answer's body, in bytes."""

    row: Attempt
    excerpt: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Line:
    """Where it stands among those of its partition key. `head`: the delivery that goes first, None: it is this one.

    `behind`: how many wait for it, at most BEHIND_MOST.
    """

    head: UUID | None
    behind: int


@dataclass(frozen=True, slots=True)
class Facts:
    """`tried`: the last ATTEMPTS_MOST, oldest first. `entries`: the trail's, of the delivery, its endpoint and its
    subscription since it was planned, oldest first. `line` None: it stands in none."""

    delivery: Delivery
    tried: Sequence[Tried]
    policy: RetryPolicy
    policy_name: str
    now: datetime
    breaker: Breaker | None = None
    entries: Sequence[AuditEntry] = ()
    siblings: Sequence[Delivery] = ()
    alert: Alert | None = None
    line: Line | None = None

    @property
    def is_open(self) -> bool:
        return self.delivery.state in OPEN_STATUSES

    @property
    def last(self) -> Attempt | None:
        return self.tried[-1].row if self.tried else None

    @property
    def left_out(self) -> int:
        """How many attempts came before those that are here."""
        return self.tried[0].row.number - 1 if self.tried else 0

    def entries_of(self, target: str) -> list[AuditEntry]:
        return [entry for entry in self.entries if entry.target == target]


def read(delivery: Delivery, now: datetime) -> Facts:
    """`delivery` with its event, subscription, endpoint and tenant."""
    name, policy = policy_of(delivery.subscription.retry_policy)
    return Facts(
        delivery=delivery,
        tried=_tried(delivery),
        policy=policy,
        policy_name=name,
        now=now,
        breaker=Breaker.objects.filter(pk=delivery.endpoint_id).first(),
        entries=_entries(delivery),
        siblings=_siblings(delivery),
        alert=_alert(delivery),
        line=_line(delivery),
    )


def policy_of(stored: object) -> tuple[str, RetryPolicy]:
    """Its name, and the policy that holds: one that cannot be read is the standard one, as for workers."""
    if not isinstance(stored, dict):
        return STANDARD, DEFAULT_POLICY
    try:
        policy = parse_policy(stored)
    except PolicyError:
        return STANDARD, DEFAULT_POLICY
    name = str(stored.get("name", STANDARD))
    return (f"{name}, changed" if set(stored) - {"name"} else name), policy


def _tried(delivery: Delivery) -> list[Tried]:
    """Index: the primary key. The answers stay in the database but for their beginnings."""
    column = F("response_body")
    rows = Attempt.objects.filter(delivery_id=delivery.pk).defer("response_body").order_by("-number")
    rows = rows.annotate(
        excerpt=Func(column, 1, EXCERPT_BYTES, function="SUBSTRING", output_field=BinaryField()),
        size=Func(column, function="OCTET_LENGTH", output_field=IntegerField()),
    )
    return [Tried(row, bytes(row.excerpt), row.size) for row in rows[:ATTEMPTS_MOST]][::-1]


def _entries(delivery: Delivery) -> list[AuditEntry]:
    """Index: audit_entry_chain_at."""
    newest = AuditEntry.objects.filter(chain=delivery.tenant.slug, at__gte=delivery.planned_at).order_by("-at")
    targets = [
        f"delivery:{delivery.pk}",
        f"endpoint:{delivery.endpoint_id}",
        f"subscription:{delivery.subscription_id}",
    ]
    looked_at = newest.values("pk")[:ENTRIES_LOOKED_AT]
    return list(AuditEntry.objects.filter(pk__in=looked_at, target__in=targets).order_by("-at")[:ENTRIES_MOST])[::-1]


def _siblings(delivery: Delivery) -> list[Delivery]:
    """The event's other deliveries: their ids share its millisecond. Index: the primary key."""
    low = id_floor(delivery.planned_at)
    same_moment = Delivery.objects.filter(pk__gte=low, pk__lt=UUID(int=low.int + _MILLISECOND_IDS))
    rows = same_moment.filter(event_id=delivery.event_id, tenant_id=delivery.tenant_id).exclude(pk=delivery.pk)
    return list(rows.select_related("endpoint", "subscription").order_by("pk")[:SIBLINGS_MOST])


def _alert(delivery: Delivery) -> Alert | None:
    """The one that fires for its endpoint. Index: alert_open_once_a_key holds the open ones alone."""
    rows = Alert.objects.filter(endpoint_id=delivery.endpoint_id, tenant_id=delivery.tenant_id, resolved_at=None)
    return rows.select_related("incident").order_by("-fired_at").first()


def _line(delivery: Delivery) -> Line | None:
    """Index: unique on delivery_id, then ordered_delivery_head."""
    waits = delivery.held_reason == ErrorKind.ORDERING
    if not waits and delivery.state is not DeliveryStatus.DEAD:
        return None
    place = OrderedDelivery.objects.filter(delivery_id=delivery.pk).first()
    if place is None:
        return None
    line = OrderedDelivery.objects.filter(order_key=place.order_key)
    head = line.filter(seq__lt=place.seq).order_by("seq").first()
    behind = line.filter(seq__gt=place.seq).order_by()[:BEHIND_MOST].count()
    return Line(head.delivery_id if head else None, behind)
