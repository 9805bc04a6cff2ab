from __future__ import annotations

from kombu import Connection

from delivery.queue_order import LATER_CLASSES_EVERY, FirstAttemptsFirst

QUEUES = [f"deliveries.{lane}" for lane in ("retry", "bulk0", "fast", "bulk1", "slow")]


def looks(cycle: FirstAttemptsFirst, times: int) -> list[list[str]]:
    """What is looked at in each look; the first queue has something each time."""
    found = []
    for _ in range(times):
        order = [queue.removeprefix("deliveries.") for queue in cycle.consume(len(QUEUES))]
        cycle.rotate("deliveries." + order[0])
        found.append(order)
    return found


def test_first_attempts_come_before_bulk_and_retries() -> None:
    order = looks(FirstAttemptsFirst(QUEUES), 1)[0]
    assert set(order[:2]) == {"fast", "slow"}
    assert set(order[2:4]) == {"bulk0", "bulk1"}
    assert order[4] == "retry"


def test_queues_of_one_class_take_turns() -> None:
    first = [order[0] for order in looks(FirstAttemptsFirst(QUEUES), 4)]
    assert first == ["fast", "slow", "fast", "slow"]


def test_retries_get_their_share_when_first_attempts_never_end() -> None:
    orders = looks(FirstAttemptsFirst(QUEUES), LATER_CLASSES_EVERY * 3)
    assert sum(order[0] == "retry" for order in orders) == 3


def test_broker_looks_in_this_order_when_it_is_the_configured_one(settings: object) -> None:
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS  # type: ignore[attr-defined]
    with Connection(settings.REDIS_URL, transport_options=options) as connection:  # type: ignore[attr-defined]
        cycle = connection.default_channel._queue_cycle
    assert isinstance(cycle, FirstAttemptsFirst)
