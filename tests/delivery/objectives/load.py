"""A mixed load through a worker's real parts, spread over some hours by moving what happened back in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from delivery.models import Delivery, Dispatch
from delivery.replay import replay
from delivery.states import DeliveryStatus
from delivery.store import Hint
from tests.delivery.test_replay import ACTOR
from tests.delivery.worker.desk import Desk, Make, dispatch, ended, sweep_takes
from tests.fakes.receiver import Answer, Receiver
from tests.waiting import eventually

TWICE = {"schedule_s": [0, 0], "jitter_share": 0}
# Everything that bears a time by which it is counted.
MOVE_BACK = """
UPDATE delivery_attempt SET recorded_at = recorded_at - %(by)s;
UPDATE delivery_delivery SET dead_at = dead_at - %(by)s, finished_at = finished_at - %(by)s,
    earlier_deaths = (SELECT array_agg(died - %(by)s) FROM unnest(earlier_deaths) AS died);
UPDATE delivery_duplicatesend SET at = at - %(by)s;
UPDATE delivery_deliverycounter SET minute = minute - %(by)s;
"""


class Load:
    """Several tenants' deliveries that succeed, fail, are tried again, die, are held, and are sent twice."""

    def __init__(self, new_desk: Callable[[], Desk], make: Make, receiver: Receiver) -> None:
        self._new_desk, self._make, self._receiver = new_desk, make, receiver
        self.desk = new_desk()
        self.deliveries: list[Delivery] = []

    def run(self) -> None:
        """A part of the load, as of some time ago; the next one comes later."""
        self._receiver.script("/flaky", Answer(500), Answer(204))
        for path in ("/ok", "/ok", "/flaky", "/refused", "/down", "/bad-signature"):
            self._keep(self._make(path, policy=TWICE))
        self._receiver.script("/refused", *[Answer(503)] * 4)
        self._receiver.script("/down", *[Answer(500)] * 4)
        self._receiver.script("/bad-signature", Answer(401), Answer(204))
        paused = self._keep(self._make("/paused", endpoint__state="paused"))
        old = self._make("/too-old", accepted_at=timezone.now() - timedelta(seconds=90), policy={"max_age_s": 60})
        self._keep(old)
        self._all_ended(dispatch(self.deliveries), but=[paused])
        self._cancel(paused)
        self._send_twice()

    def replay_all(self) -> None:
        """What ended by itself gets a second round, which ends as its receiver answers now."""
        hints = []
        for delivery in Delivery.objects.filter(pk__in=[row.pk for row in self.deliveries]).exclude(status="cancelled"):
            if replay(delivery.pk, ACTOR):
                hints.append(Hint("fast", Dispatch.objects.latest("pk").pk, 0))
        for hint in hints:
            self.desk.run(hint)
        self._settle()

    def move_back(self, by: timedelta) -> None:
        with connection.cursor() as cursor:
            cursor.execute(MOVE_BACK, {"by": by})
        self.deliveries = []

    def _keep(self, delivery: Delivery) -> Delivery:
        self.deliveries.append(delivery)
        return delivery

    def _send_twice(self) -> None:
        """The first worker goes silent with one on its way; it comes back when the second one has sent it."""
        gate = threading.Event()
        self._receiver.script("/twice", Answer(204, gate=gate), Answer(204))
        delivery = self._keep(self._make("/twice"))
        before = len(self._receiver.requests)
        hint, silent = dispatch([delivery]), self._new_desk()
        silent.run(hint)
        self._receiver.wait_for(before + 1)
        self.desk.run(sweep_takes(hint.dispatch_id))
        ended(hint)
        gate.set()
        silent.close()

    def _all_ended(self, hint: Hint, but: list[Delivery]) -> None:
        self.desk.run(hint)
        self._settle(but)

    def _settle(self, but: list[Delivery] | None = None) -> None:
        """Runs what is due until nothing is open."""
        left_out = [delivery.pk for delivery in but or []]

        def nothing_open() -> bool:
            for row in Dispatch.objects.filter(claimed_by=""):
                self.desk.run(Hint(row.lane, row.pk, row.token))
            return not Delivery.objects.open().exclude(pk__in=left_out).exists()

        eventually(nothing_open, timeout=20, every_s=0.02)

    def _cancel(self, delivery: Delivery) -> None:
        eventually(lambda: not Dispatch.objects.exists(), every_s=0.01)
        assert Delivery.objects.get(pk=delivery.pk).move(DeliveryStatus.CANCELLED, held_reason="", due_at=None)
