"""Produces one message by Kafka's own bytes, for what no client library would send (Produce v3, record batch v2)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

CRC32C_POLYNOMIAL = 0x82F63B78
ACKS_ALL, NO_TRANSACTION, TIMEOUT_MS = -1, -1, 5_000


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (CRC32C_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _varint(value: int) -> bytes:
    """Zigzag."""
    left = value << 1 ^ value >> 63
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _batch(value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    pairs = b"".join(_sized(name) + _sized(text) for name, text in headers)
    no_key = _varint(-1)
    record = b"\0" + _varint(0) + _varint(0) + no_key + _sized(value) + _varint(len(headers)) + pairs
    now_ms = int(time.time() * 1000)  # a topic forgets what is older than its retention
    body = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, -1, -1, -1, 1) + _sized(record)
    batch = struct.pack(">ibI", -1, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(batch)) + batch


def produce_raw(bootstrap: str, topic: str, value: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """To partition 0. Raises AssertionError unless the broker took it."""
    batch = _batch(value, headers)
    name = struct.pack(">h", len(topic)) + topic.encode()
    request = struct.pack(">hhih", 0, 3, 1, -1) + struct.pack(">hhi", NO_TRANSACTION, ACKS_ALL, TIMEOUT_MS)
    request += struct.pack(">i", 1) + name + struct.pack(">iii", 1, 0, len(batch)) + batch
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rwb") as stream:
        stream.write(struct.pack(">i", len(request)) + request)
        stream.flush()
        answer = stream.read(int.from_bytes(stream.read(4), "big"))
    # correlation id, one topic, its name, one partition, its index; then the error code
    (error,) = struct.unpack_from(">h", answer, 4 + 4 + len(name) + 4 + 4)
    assert error == 0, f"the broker answered with error {error}"
