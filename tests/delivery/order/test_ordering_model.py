"""Whatever happens to the deliveries of two lines, in whatever order: the database has what a plain list would have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from audit.trail import Actor
from delivery.models import Delivery, OrderedDelivery
from delivery.order.pass_over import pass_over
from delivery.states import DeliveryStatus
from subscriptions.models import Ordering, Subscription
from tests.delivery.order.lines import die, end, in_line, ordered_subscription, parked, plan, reopen, wake

KEYS = ("a", "b")
PICK = st.integers(0, 5)


@dataclass
class Item:
    """A delivery as the model has it: going, waiting or dead (and in the way)."""

    row: Delivery
    state: str


class Lines(RuleBasedStateMachine):
    @initialize(mode=st.sampled_from([Ordering.BLOCK, Ordering.SKIP]))
    def start(self, mode: str) -> None:
        OrderedDelivery.objects.all().delete()
        Delivery.objects.all().delete()
        self.subscription = ordered_subscription(mode)
        self.lines: dict[str, list[Item]] = {key: [] for key in KEYS}
        self.outside: list[Delivery] = []  # dead, and in nobody's way

    @property
    def blocks(self) -> bool:
        return bool(self.subscription.ordering == Ordering.BLOCK)

    def one(self, pick: int, state: str) -> tuple[list[Item], Item] | None:
        found = [(line, item) for line in self.lines.values() for item in line if item.state == state]
        return found[pick % len(found)] if found else None

    def step_on(self) -> list[Delivery]:
        """What the model lets go now: heads that wait."""
        heads = [line[0] for line in self.lines.values() if line and line[0].state == "waiting"]
        for head in heads:
            head.state = "going"
        return [head.row for head in heads]

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
    def ingest(self, keys: list[str]) -> None:
        for key, row in zip(keys, plan(self.subscription, *keys), strict=True):
            self.lines[key].append(Item(row, "waiting" if self.lines[key] else "going"))

    @rule(pick=PICK)
    def deliver(self, pick: int) -> None:
        self._leave(pick, "going", end)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self._leave(pick, "waiting", lambda row: end(row, status=DeliveryStatus.CANCELLED))

    @rule(pick=PICK)
    def be_lost(self, pick: int) -> None:
        """Ended, and nobody said so: the sweep finds it."""

        def lose(row: Delivery) -> list[object]:
            Delivery.objects.filter(pk=row.pk).update(status=DeliveryStatus.DELIVERED)
            return [*wake()]

        self._leave(pick, "going", lose)

    def _leave(self, pick: int, state: str, act: Callable[[Delivery], object]) -> None:
        found = self.one(pick, state)
        if found:
            line, item = found
            line.remove(item)
            assert act(item.row) == [row.pk for row in self.step_on()]

    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        found = self.one(pick, "going")
        if found:
            line, item = found
            item.state = "dead"
            if not self.blocks:
                line.remove(item)
                self.outside.append(item.row)
            assert die(item.row) == [row.pk for row in self.step_on()]

    @rule(pick=PICK)
    def replay_head(self, pick: int) -> None:
        found = self.one(pick, "dead")
        if found:
            found[1].state = "going"
            assert reopen(found[1].row) == set()

    @rule(pick=PICK)
    def replay_outside(self, pick: int) -> None:
        if self.outside:
            row = self.outside.pop(pick % len(self.outside))
            assert reopen(row) == set()
            assert end(row) == []

    @rule(pick=PICK)
    def pass_over(self, pick: int) -> None:
        found = self.one(pick, "dead")
        if found:
            line, item = found
            line.remove(item)
            self.outside.append(item.row)
            assert pass_over(item.row.pk, Actor("user:alice"))
            self.step_on()

    @invariant()
    def the_database_has_the_same(self) -> None:
        items = [item for line in self.lines.values() for item in line]
        assert wake() == []
        assert parked() == {item.row.pk for item in items if item.state == "waiting"}
        assert sorted(in_line()) == sorted(item.row.pk for item in items)
        for line in self.lines.values():
            order = [item.row.pk for item in line]
            assert [row for row in in_line() if row in order] == order
            assert all(item.state == "waiting" for item in line[1:])


@pytest.mark.django_db
@pytest.mark.usefixtures("empty_queues")
def test_lines_are_what_lists_would_be_whatever_happens() -> None:
    Subscription.objects.all().delete()
    run_state_machine_as_test(
        Lines,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
