"""What the database says of what went wrong: where lost deliveries were last seen, and who sent the doubled ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.db.models import Count

from delivery.chaos.load import Load
from delivery.models import Attempt, Delivery, Dispatch
from delivery.states import DeliveryStatus
from eventcenter.models import Event, OutboxMessage, RejectedEvent

SHOWN = 5
SHOWN_MOST = 20


def explain_doubled(ids: Sequence[str]) -> str:
    """Lines for people: the attempts that are on record for the deliveries that came twice."""
    attempts = Attempt.objects.filter(delivery_id__in=ids).order_by("delivery_id", "number")
    by_delivery: dict[object, list[Attempt]] = {}
    for each in attempts:
        by_delivery.setdefault(each.delivery_id, []).append(each)
    made = Counter(
        " then ".join(f"{each.outcome} by {each.worker}" for each in tries) for tries in by_delivery.values()
    )
    lines = ["what came twice, by the attempts that were recorded:"]
    lines += [f"  {count} deliveries: {tries}" for tries, count in made.most_common(SHOWN_MOST)]
    for delivery_id, tries in list(by_delivery.items())[:SHOWN]:
        lines.append(f"  {delivery_id} recorded {[each.started_at.isoformat() for each in tries]}")
    return "\n".join(lines)


def explain_lost(load: Load) -> str:
    """Lines for people."""
    known = set(Event.objects.values_list("producer_id", flat=True))
    absent = [load.ids[number] for number in sorted(load.accepted_numbers()) if load.ids[number] not in known]
    open_ = Delivery.objects.exclude(status=DeliveryStatus.DELIVERED)
    states = open_.values_list("status", "held_reason", "dead_reason", "last_error_kind").annotate(count=Count("id"))
    lines = [
        "what was lost:",
        f"  accepted events that were never ingested: {len(absent)} {absent[:SHOWN]}",
        f"  outbox {OutboxMessage.objects.count()}, rejected {RejectedEvent.objects.count()},"
        f" dispatches {Dispatch.objects.count()}",
        *(f"  {count} deliveries: {' / '.join(map(str, rest))}" for *rest, count in states),
        *(f"  {each.id} tries {each.tries} due {each.due_at} next {each.next_attempt_at}" for each in open_[:SHOWN]),
    ]
    return "\n".join(lines)
