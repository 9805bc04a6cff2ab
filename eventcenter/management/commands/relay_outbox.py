from __future__ import annotations

from functools import partial
from typing import Any

from eventcenter.audit_stream import AuditStream
from eventcenter.flags import Flag, is_on
from eventcenter.relay import OutboxRelay
from eventcenter.worker import WorkerCommand


class Command(WorkerCommand):
    help = (
        "Send to Kafka what was accepted and not acknowledged, and the audit entries of tenants with the flag audit-streaming."
        " Example: manage.py relay_outbox --once"
    )
    role = "relay"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relay = OutboxRelay(go_on=self._goes_on)
        self.audit = AuditStream(self._goes_on, partial(is_on, Flag.AUDIT_STREAMING))

    def step(self) -> bool:
        more = self.relay.step()
        return self.audit.step() or more

    def _goes_on(self) -> bool:
        return not self.stopping.is_set()
