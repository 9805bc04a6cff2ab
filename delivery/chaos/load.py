"""The load: an open loop of new events, in part through the publish API and in part straight to Kafka.

What was accepted is what was promised: answered 202, or acknowledged by Kafka. A publisher who gets no answer publishes the
same event again until it has one, as the API's page tells publishers to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from queue import SimpleQueue
from uuid import uuid4

from confluent_kafka import Producer
from django.conf import settings

from delivery.bench.events import read_releases, release_data
from eventcenter.bus import kafka_config
from eventcenter.envelope import STRUCTURED_CONTENT_TYPE, Envelope, partition_key, to_kafka, to_structured
from eventcenter.standardwebhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

logger = logging.getLogger(__name__)

EVENT_TYPE = "plugin.release.published"
FAULTY_TAG = "faulty"
FAULTY_EVERY = 5  # one event in so many goes to the faulty receiver too
API_EVERY = 4  # one event in so many comes through the publish API
API_THREADS = 8
TICK_S = 0.01
API_TIMEOUT_S = 15.0
TRY_AGAIN_S = 0.25
FLUSH_WAIT_S = 0.2
PUBLISH_PATH = "/internal/events/publish"


@dataclass(frozen=True, slots=True)
class Publisher:
    """A tenant that publishes, with the key it signs with."""

    tenant: str
    key_id: str
    secret: bytes


def is_faulty(number: int) -> bool:
    return number % FAULTY_EVERY == 0


class Load:
    """`start`, then `finish`. Events are numbered from 0 in the order they were made; safe to read while it runs."""

    def __init__(self, publishers: Sequence[Publisher], port: int, events_per_s: float) -> None:
        self._publishers = publishers
        self._port = port
        self._rate = events_per_s
        rows = read_releases()
        self._data = {
            publisher.tenant: [(plugin, release_data(publisher.tenant, plugin, version)) for plugin, version in rows]
            for publisher in publishers
        }
        self.made = 0
        self.accepted = bytearray()  # by number
        self.ids: list[str] = []  # by number: the producer's id of the event
        self.unanswered = 0  # API calls that had to be made again
        self.refused: list[str] = []  # answers that no repeat can help, which is a fault of ours
        self._queue: SimpleQueue[Envelope | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._pace, name="load", daemon=True)]
        self._threads += [
            threading.Thread(target=self._publish, name=f"publisher-{n}", daemon=True) for n in range(API_THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, within_s: float) -> None:
        """Make no more, and wait until everything made is accepted; what is not by then was never promised."""
        ends_at = time.monotonic() + within_s
        self._stopping.set()
        for _ in range(API_THREADS):
            self._queue.put(None)
        for thread in self._threads:
            thread.join(max(ends_at - time.monotonic(), 0.0))

    def accepted_numbers(self) -> set[int]:
        return {number for number, taken in enumerate(bytes(self.accepted)) if taken}

    def count(self, faulty: bool = False) -> int:
        """How many were accepted; with `faulty`, how many of those that the faulty receiver gets."""
        taken = bytes(self.accepted)
        return taken[::FAULTY_EVERY].count(1) if faulty else taken.count(1)

    def _pace(self) -> None:
        # A broker that is away must not make us give an event up: whether it was taken would be unknown.
        producer = Producer(kafka_config(acks="all", **{"linger.ms": 2, "message.timeout.ms": 0, "log_level": 0}))
        started = time.monotonic()
        while not self._stopping.is_set():
            due = int((time.monotonic() - started) * self._rate)
            while self.made < due:
                self._send(producer, self._next())
            producer.poll(TICK_S)
        while producer.flush(FLUSH_WAIT_S):
            pass

    def _next(self) -> Envelope:
        number = self.made
        tenant = self._publishers[number % len(self._publishers)].tenant
        plugin, data = self._data[tenant][number % len(self._data[tenant])]
        event_id = str(uuid4())
        extensions: dict[str, str | int | bool] = {"chaosnumber": number}
        if not self._is_for_api(number):  # what waits for a web process that is down says nothing of the delivery
            extensions["benchsentus"] = str(time.time_ns() // 1000)
        self.ids.append(event_id)
        self.accepted.append(0)
        self.made += 1
        return Envelope(
            id=event_id,
            source="/pipelines/chaos",
            type=EVENT_TYPE,
            subject=plugin,
            tenant=tenant,
            tags=("chaos", FAULTY_TAG) if is_faulty(number) else ("chaos",),
            extensions=extensions,
            data=data,
        )

    def _is_for_api(self, number: int) -> bool:
        return number // len(self._publishers) % API_EVERY == 0

    def _send(self, producer: Producer, event: Envelope) -> None:
        number = _number(event)
        if self._is_for_api(number):
            self._queue.put(event)
            return
        headers, value = to_kafka(event)
        note = self._noted(number)
        full: list[tuple[str, str | bytes | None]] = [*headers]
        producer.produce(
            settings.KAFKA_EVENTS_TOPIC, value=value, key=partition_key(event), headers=full, on_delivery=note
        )

    def _noted(self, number: int) -> Callable[[object, object], None]:
        def note(error: object, _: object) -> None:
            if error is None:
                self.accepted[number] = 1
            else:
                self.refused.append(f"Kafka: {error}")

        return note

    def _publish(self) -> None:
        caller = ApiCaller(self._port)
        while (event := self._queue.get()) is not None:
            number = _number(event)
            publisher = self._publishers[number % len(self._publishers)]
            status = self._until_answered(caller, publisher, to_structured(event))
            if status == HTTPStatus.ACCEPTED:
                self.accepted[number] = 1
            else:
                self.refused.append(f"publish API: {status}")

    def _until_answered(self, caller: ApiCaller, publisher: Publisher, body: bytes) -> int:
        """The status of the first answer that is one: below 500."""
        while True:
            status = caller.post(publisher, body)
            if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                return status
            self.unanswered += 1
            time.sleep(TRY_AGAIN_S)


def _number(event: Envelope) -> int:
    return int(event.extensions["chaosnumber"])


class ApiCaller:
    """One publisher's connection, kept between calls."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=API_TIMEOUT_S)

    def post(self, publisher: Publisher, body: bytes) -> int | None:
        """The status code; None when there was no answer."""
        msg_id, timestamp = f"msg_{uuid4().hex}", int(time.time())
        headers = {
            "content-type": STRUCTURED_CONTENT_TYPE,
            "x-publish-key": publisher.key_id,
            ID_HEADER: msg_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: sign([publisher.secret], msg_id, timestamp, body),
        }
        try:
            self._connection.request("POST", PUBLISH_PATH, body, headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            return None
        return answer.status
