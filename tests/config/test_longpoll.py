"""How the embedded Kafka endpoint's proxy reads Fetch answers and keeps empty ones back."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from config.stack import longpoll
from config.stack.longpoll import FETCH, HELD_FETCH_VERSION, HOST, PRODUCE, Reader, is_empty_fetch
from config.stack.ports import accepts
from tests.waiting import eventually


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def compact(content: bytes | None) -> bytes:
    """A compact string, bytes or records field; None is null."""
    return b"\0" if content is None else varint(len(content) + 1) + content


def array(*members: bytes) -> bytes:
    return varint(len(members) + 1) + b"".join(members)


def tags(*contents: bytes) -> bytes:
    return varint(len(contents)) + b"".join(
        varint(number) + varint(len(content)) + content for number, content in enumerate(contents)
    )


def partition(records: bytes | None = None, *, error: int = 0, aborted: int = 0, more: bytes = b"\0") -> bytes:
    dropped = array(*[struct.pack(">qq", 1, 2) + tags(b"x")] * aborted) if aborted else b"\0"
    return struct.pack(">ihqqq", 3, error, 7, 7, 0) + dropped + struct.pack(">i", -1) + compact(records) + more


def fetch_answer(*topics: bytes, error: int = 0, header_tags: bytes = b"\0") -> bytes:
    return struct.pack(">i", 42) + header_tags + struct.pack(">ihi", 0, error, 0) + array(*topics) + b"\0"


def topic(*partitions: bytes, name: bytes = b"events") -> bytes:
    return compact(name) + array(*partitions) + b"\0"


EMPTY = fetch_answer(topic(partition(b""), partition(None)))
FULL = fetch_answer(topic(partition(b"record batch")))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31 - 1])
def test_varint_is_read_to_its_end(value: int) -> None:
    reader = Reader(varint(value) + b"\xff")

    assert reader.varint() == value
    assert reader.at == len(varint(value))


@pytest.mark.parametrize(
    "answer",
    [
        fetch_answer(),
        EMPTY,
        fetch_answer(topic(), topic(partition(b""), name=b"n" * 200)),
        fetch_answer(topic(partition(b"", aborted=2), partition(b""))),
        fetch_answer(topic(partition(b"", more=tags(b"one", b"", b"t" * 300)), partition(b"")), header_tags=tags(b"h")),
    ],
)
def test_fetch_is_empty_when_no_partition_has_a_record_or_an_error(answer: bytes) -> None:
    assert is_empty_fetch(answer)


@pytest.mark.parametrize(
    "answer",
    [
        FULL,
        fetch_answer(error=70),
        fetch_answer(topic(partition(b"", error=1))),
        fetch_answer(topic(partition(b""), partition(b"r"))),
        fetch_answer(topic(partition(b"")), topic(partition(b"r"))),
        fetch_answer(topic(partition(b"", more=tags(b"diverging epoch")), partition(b"r" * 200))),
        fetch_answer(topic(partition(b"", aborted=3), partition(b"r"))),
    ],
)
def test_fetch_is_not_empty_when_one_partition_has_a_record_or_an_error(answer: bytes) -> None:
    assert not is_empty_fetch(answer)


@pytest.mark.parametrize("cut", range(len(EMPTY) - 2))
def test_fetch_that_ends_too_early_is_not_taken_for_an_empty_one(cut: int) -> None:
    with pytest.raises((IndexError, struct.error)):
        is_empty_fetch(EMPTY[:cut])


def request(api: int, version: int = HELD_FETCH_VERSION) -> bytes:
    return struct.pack(">hhi", api, version, 42)


def send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(struct.pack(">i", len(content)) + content)


def receive(connection: socket.socket) -> bytes:
    """One frame; b"" where the connection ends."""
    with connection.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(4), "big"))


class Broker:
    """Answers a Fetch by what was produced before it, and everything else with its own address; notes the requests."""

    def __init__(self) -> None:
        self.server = socket.create_server((HOST, 0))
        self.port: int = self.server.getsockname()[1]
        self.seen: list[int] = []
        self.accepting = threading.Thread(target=self._accept)
        self.accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection]).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while asked := receive(connection):
                api = struct.unpack_from(">h", asked)[0]
                send(connection, self._answer_to(api))
                self.seen.append(api)

    def _answer_to(self, api: int) -> bytes:
        if api == FETCH:
            return FULL if PRODUCE in self.seen else EMPTY
        return struct.pack(">i", 42) + HOST.encode() + struct.pack(">i", self.port)

    def close(self) -> None:
        """May be called again."""
        if self.accepting.is_alive():
            self.server.shutdown(socket.SHUT_RDWR)
            self.accepting.join()
        self.server.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.close()


@pytest.fixture
def port(broker: Broker) -> Iterator[int]:
    """The proxy's, which runs as a process as it does in the stack; what it starts just waits."""
    with socket.create_server((HOST, 0)) as server:
        number = server.getsockname()[1]
    options = ["--port", str(number), "--broker-port", str(broker.port)]
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen([sys.executable, longpoll.__file__, *options, "--", *command]) as process:
        eventually(lambda: accepts(number))
        yield number
        process.terminate()
        assert process.wait(10) == 0


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=10)


def test_waiting_fetch_is_answered_with_the_record_when_another_client_produces(broker: Broker, port: int) -> None:
    with connect(port) as consumer, connect(port) as producer:
        send(consumer, request(FETCH))
        eventually(lambda: broker.seen == [FETCH])
        send(producer, request(PRODUCE))

        assert receive(consumer) == FULL
        assert receive(producer)


def test_empty_fetch_is_answered_in_the_end_when_nothing_is_produced(broker: Broker, port: int) -> None:
    with connect(port) as consumer:
        send(consumer, request(FETCH))

        assert receive(consumer) == EMPTY
        assert len(broker.seen) <= 2


def test_fetch_is_passed_as_it_is_when_it_is_of_another_version(broker: Broker, port: int) -> None:
    with connect(port) as consumer:
        send(consumer, request(FETCH, HELD_FETCH_VERSION - 1))

        assert receive(consumer) == EMPTY
        eventually(lambda: broker.seen == [FETCH])


def test_broker_is_named_by_the_proxys_port_when_it_tells_its_own(broker: Broker, port: int) -> None:
    with connect(port) as client:
        send(client, request(3))

        assert receive(client) == struct.pack(">i", 42) + HOST.encode() + struct.pack(">i", port)


def test_client_is_cut_off_when_the_broker_is_away(broker: Broker, port: int) -> None:
    broker.close()

    with connect(port) as client:
        assert receive(client) == b""
