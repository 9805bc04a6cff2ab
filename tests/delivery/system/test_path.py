"""Where the path is stuck, from what is known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delivery.system.bus import rates_of
from delivery.system.path import Facts, Tone, sentence, stages

WELL = Facts(
    accepted_a_minute=120,
    delivered_a_minute=240,
    outbox_depth=1,
    outbox_age_s=0.2,
    lag=3,
    coming=2.0,
    taken=2.0,
    kafka_error="",
    oldest_due_s=0.1,
    open_dispatches=1,
    late_leases=0,
    queued=0,
    redis_error="",
    in_flight=2,
    held=0,
    breakers_open=0,
)
NO_KAFKA = {"lag": None, "coming": None, "taken": None, "kafka_error": "no broker"}


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({}, Tone.GOOD, "Every stage moves"),
        (NO_KAFKA, Tone.BAD, "Stuck at Kafka: Kafka is away (no broker)"),
        (NO_KAFKA | {"outbox_age_s": 500}, Tone.BAD, "Stuck at Kafka"),
        ({"outbox_age_s": 12}, Tone.WARN, "Slow at Outbox: its oldest event waits for 12 s."),
        ({"outbox_age_s": 90}, Tone.BAD, "Stuck at Outbox"),
        ({"outbox_age_s": 12, "silent": {"relay"}}, Tone.BAD, "and no relay runs"),
        ({"silent": {"relay"}}, Tone.GOOD, "Every stage moves"),
        ({"silent": {"consumer"}}, Tone.BAD, "Stuck at Consumer: 3 messages wait in Kafka, and no consumer runs"),
        (NO_KAFKA | {"silent": {"consumer"}}, Tone.BAD, "Stuck at Kafka"),
        ({"taken": 0.0}, Tone.BAD, "Stuck at Consumer: 3 messages wait in Kafka, and none is taken."),
        ({"taken": None}, Tone.GOOD, "Every stage moves"),
        ({"lag": 0, "taken": 0.0}, Tone.GOOD, "Every stage moves"),
        ({"lag": 6_000}, Tone.WARN, "Slow at Consumer: 6,000 messages wait"),
        ({"silent": {"sweep"}}, Tone.BAD, "Stuck at Dispatch: no sweep runs"),
        ({"oldest_due_s": 15}, Tone.WARN, "Slow at Dispatch: a delivery has been due for 15 s."),
        ({"oldest_due_s": 75}, Tone.BAD, "Stuck at Dispatch: a delivery has been due for 1 m 15 s."),
        ({"oldest_due_s": 75, "silent": {"worker"}}, Tone.BAD, "Stuck at Worker: no worker runs that would send"),
        ({"late_leases": 2}, Tone.WARN, "Slow at Dispatch: 2 batches were let go"),
        ({"queued": None, "redis_error": "refused"}, Tone.BAD, "Stuck at Worker: Redis is away (refused)"),
        ({"breakers_open": 1, "held": 4}, Tone.WARN, "it is them, not us: the breaker of 1 endpoint is open, and 4"),
    ],
)
def test_sentence_names_the_first_stage_that_is_stuck(changes: dict[str, object], tone: Tone, words: str) -> None:
    found = sentence(stages(replace(WELL, **changes)))  # type: ignore[arg-type]
    assert found[0] is tone
    assert words in found[1]


def test_path_goes_from_publish_to_receiver_with_a_figure_each() -> None:
    path = stages(WELL)
    names = ["Publish", "Outbox", "Kafka", "Consumer", "Dispatch", "Worker", "Receiver"]
    assert [stage.name for stage in path] == names
    assert [stage.figure for stage in path] == ["120", "1", "2.0", "3", "1", "2", "240"]


def test_rates_are_of_the_time_between_two_samples() -> None:
    assert rates_of((0.0, {0: (10, 10), 1: (5, 0)}), (4.0, {0: (30, 18), 1: (5, 0), 2: (9, 9)})) == {
        0: (5.0, 2.0),
        1: (0.0, 0.0),
    }
    assert rates_of((0.0, {0: (10, 10)}), (1.0, {0: (30, 18)})) == {}
