"""The embedded Kafka endpoint with long polls: noida-db behind a small proxy that speaks for it.

noida-db 0.2.3 answers a Fetch that finds nothing at once, where Kafka waits up to `max_wait_ms`; every idle consumer then
asks again without a pause and takes a whole core. The proxy keeps such an answer back until something was produced or
MAX_WAIT_S is over, and asks once more. It also puts its own port where the broker names itself.

`longpoll.py --port 9092 --broker-port 19092 -- noida-db start …` runs the command, and ends with it.
Frames, Fetch v12 and header versions: kafka.apache.org/protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import signal
import struct

HOST = "127.0.0.1"
FETCH, PRODUCE = 1, 0
HELD_FETCH_VERSION = 12  # what librdkafka and noida-db agree on; other versions pass as they are
MAX_WAIT_S = 0.5
PR_SET_PDEATHSIG = 1


class Reader:
    """Walks the fields of a flexible-version message. Raises IndexError or struct.error where it ends too early."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def skip(self, size: int) -> None:
        self.at += size

    def int16(self) -> int:
        self.at += 2
        return int(struct.unpack_from(">h", self.data, self.at - 2)[0])

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7

    def skip_tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.skip(self.varint())


def is_empty_fetch(answer: bytes) -> bool:
    """Whether a Fetch v12 response holds neither a record nor an error."""
    reader = Reader(answer, 4)  # correlation id
    reader.skip_tags()
    reader.skip(4)  # throttle time
    if reader.int16():
        return False
    reader.skip(4)  # session id
    for _ in range(reader.varint() - 1):
        reader.skip(reader.varint() - 1)  # topic
        for _ in range(reader.varint() - 1):
            if not _is_empty_partition(reader):
                return False
        reader.skip_tags()
    return True


def _is_empty_partition(reader: Reader) -> bool:
    reader.skip(4)  # index
    if reader.int16():
        return False
    reader.skip(24)  # high watermark, last stable offset, log start offset
    for _ in range(reader.varint() - 1):
        reader.skip(16)  # aborted transaction
        reader.skip_tags()
    reader.skip(4)  # preferred read replica
    if reader.varint() > 1:
        return False
    reader.skip_tags()
    return True


class Proxy:
    """Passes frames one request at a time a connection, as a broker works them off."""

    def __init__(self, port: int, broker_port: int) -> None:
        self.port = port
        self.broker_port = broker_port
        self._produced = asyncio.Event()
        self._clients: set[asyncio.StreamWriter] = set()
        self._is_cut_off = False
        self._named = HOST.encode() + struct.pack(">i", broker_port)
        self._renamed = HOST.encode() + struct.pack(">i", port)

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._connection, HOST, self.port)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker = await asyncio.open_connection(HOST, self.broker_port)
        except OSError:
            writer.close()
            return
        self._clients.add(writer)
        if self._is_cut_off:
            writer.transport.abort()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _read_frame(reader)
                _write_frame(writer, await self._answer(request, *broker))
                await writer.drain()
        self._clients.discard(writer)
        writer.close()
        broker[1].close()

    def cut_off(self) -> None:
        """No client gets another answer. What noida-db takes while it saves is not in what it saved: nobody may be told
        that it was taken."""
        self._is_cut_off = True
        for client in self._clients:
            client.transport.abort()

    async def _answer(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        api_key, version = struct.unpack_from(">hh", request)
        ends_at = asyncio.get_running_loop().time() + MAX_WAIT_S
        while True:
            produced = self._produced
            _write_frame(writer, request)
            answer = await _read_frame(reader)
            if api_key == PRODUCE:
                self._tell_waiting()
            wait_s = ends_at - asyncio.get_running_loop().time()
            if api_key != FETCH or version != HELD_FETCH_VERSION or wait_s <= 0 or not is_empty_fetch(answer):
                return answer.replace(self._named, self._renamed) if api_key != FETCH else answer
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(produced.wait(), wait_s)

    def _tell_waiting(self) -> None:
        self._produced.set()
        self._produced = asyncio.Event()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return await reader.readexactly(size)


def _write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(len(frame).to_bytes(4, "big") + frame)


def _die_with_parent() -> None:
    """noida-db saves its data on SIGTERM: it gets one however we end."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def run(port: int, broker_port: int, command: list[str]) -> int:
    broker = await asyncio.create_subprocess_exec(*command, preexec_fn=_die_with_parent)
    proxy = Proxy(port, broker_port)

    def end() -> None:
        proxy.cut_off()
        broker.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await _until_it_listens(broker, broker_port)
    server = await proxy.serve()
    code = await broker.wait()
    server.close()
    return 0 if code in (0, -signal.SIGTERM) else code


async def _until_it_listens(broker: asyncio.subprocess.Process, port: int) -> None:
    while broker.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return
        await asyncio.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, required=True, help="where clients connect")
    parser.add_argument("--broker-port", type=int, required=True, help="where the command listens")
    parser.add_argument("command", nargs="+", help="noida-db and its arguments, behind --")
    options = parser.parse_args()
    job = run(options.port, options.broker_port, options.command)
    try:
        from uvloop import run as run_loop
    except ImportError:
        return asyncio.run(job)
    return run_loop(job)


if __name__ == "__main__":
    raise SystemExit(main())
