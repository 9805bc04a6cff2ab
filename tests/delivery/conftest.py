"""The queues of this run's Redis, and a worker of this process: real transports and recorder, on the test's database."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from delivery.models import Delivery, DispatchLane
from delivery.queue_order import QUEUE_PREFIX
from delivery.sweep import MARKER_KEY
from delivery.worker.process import assemble
from tests.delivery.worker.desk import Desk, Make, make_delivery
from tests.fakes.receiver import Receiver

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
    redis_client.set(MARKER_KEY, "before the test")
    yield
    redis_client.delete(*QUEUES)


@pytest.fixture
def hints_in(redis_client: redis.Redis, empty_queues: None) -> HintsIn:
    """[dispatch id, token] of the Celery messages that wait in a lane's queue, oldest first."""

    def read(lane: str) -> list[list[int]]:
        messages = redis_client.lrange(QUEUE_PREFIX + lane, 0, -1)
        return [json.loads(base64.b64decode(json.loads(message)["body"]))[0] for message in reversed(messages)]

    return read


@pytest.fixture
def make(transactional_db: None, empty_queues: None, receiver: Receiver) -> Make:
    """Makes an open delivery to the receiver; see desk.make_delivery."""

    def make_one(path: str = "/hook", **changes: object) -> Delivery:
        return make_delivery(receiver.url(path), **changes)

    return make_one


@pytest.fixture
def new_desk(transactional_db: None, empty_queues: None) -> Iterator[Callable[[], Desk]]:
    """Makes workers; all are closed after the test."""
    desks: list[Desk] = []

    def make_desk() -> Desk:
        desks.append(Desk(assemble(role="test-worker")))
        return desks[-1]

    yield make_desk
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(new_desk: Callable[[], Desk]) -> Desk:
    return new_desk()
