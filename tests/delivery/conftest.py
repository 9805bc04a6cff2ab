"""The queues of this run's Redis, as tests of deliveries look at them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from delivery.hints import QUEUE_PREFIX
from delivery.models import DispatchLane

QUEUES = [QUEUE_PREFIX + lane for lane in DispatchLane.values]
HintsIn = Callable[[str], list[list[int]]]


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def empty_queues(redis_client: redis.Redis) -> Iterator[None]:
    """No hint from before the test, and none left behind."""
    redis_client.delete(*QUEUES)
    yield
    redis_client.delete(*QUEUES)


@pytest.fixture
def hints_in(redis_client: redis.Redis, empty_queues: None) -> HintsIn:
    """[dispatch id, token] of the Celery messages that wait in a lane's queue, oldest first."""

    def read(lane: str) -> list[list[int]]:
        messages = redis_client.lrange(QUEUE_PREFIX + lane, 0, -1)
        return [json.loads(base64.b64decode(json.loads(message)["body"]))[0] for message in reversed(messages)]

    return read
