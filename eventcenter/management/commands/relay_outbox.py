from __future__ import annotations

from typing import Any

from eventcenter.relay import OutboxRelay
from eventcenter.worker import WorkerCommand


class Command(WorkerCommand):
    help = "Send to Kafka what was accepted and not acknowledged. Example: manage.py relay_outbox --once"
    role = "relay"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relay = OutboxRelay(go_on=lambda: not self.stopping.is_set())

    def step(self) -> bool:
        return self.relay.step()
