from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eventcenter import bus
from eventcenter.models import EventType
from tests.eventcenter.adapters.forge import ForgeClient, new_forge


@pytest.fixture
def forge(event_types: list[EventType], topic: str) -> Iterator[Callable[..., ForgeClient]]:
    """Makes forges, each with an adapter of its own in the tenant acme."""
    yield new_forge
    bus.close_outbox_producer(timeout_s=10)
