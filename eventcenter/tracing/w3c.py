"""W3C Trace Context (https://www.w3.org/TR/trace-context/): reading, writing and making its two headers. Pure but for chance.

A traceparent is version "-" trace-id (32 hex) "-" parent-id (16 hex) "-" flags (2 hex); later versions may go on behind it.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

SAMPLED = 0x01
# §3.3.1: a list of key=value members; 512 characters are what everybody must pass on, and we pass on no more.
MAX_TRACESTATE_CHARS = 512
MAX_TRACESTATE_MEMBERS = 32

_KEY = r"(?:[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})"
_MEMBER = re.compile(rf"[ \t]*(?:{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])?[ \t]*")


class TraceContext(NamedTuple):
    """Where a span hangs: ids as integers, as OpenTelemetry has them."""

    trace_id: int
    span_id: int
    sampled: bool

    def text(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


def parse(traceparent: str | None) -> TraceContext | None:
    """Of a traceparent that was found right before (eventcenter.envelope.parse_traceparent); None for an empty one."""
    if not traceparent:
        return None
    flags = int(traceparent[53:55], 16)
    return TraceContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), bool(flags & SAMPLED))


def trace_id_of(traceparent: str | None) -> str:
    """32 hex characters; "" without a context."""
    return traceparent[3:35] if traceparent else ""


def new_traceparent() -> str:
    """A trace of its own that nobody records. An id of zero, which is invalid, comes once in 2^64."""
    return f"00-{random.getrandbits(128):032x}-{random.getrandbits(64):016x}-00"


def new_span_id() -> int:
    return random.getrandbits(64) or 1


def parse_tracestate(value: object) -> str:
    """The list as it may be passed on; "" when it is malformed or too long: W3C asks to go on without it."""
    if not isinstance(value, str) or not value or len(value) > MAX_TRACESTATE_CHARS:
        return ""
    members = value.split(",")
    if len(members) > MAX_TRACESTATE_MEMBERS or not all(_MEMBER.fullmatch(member) for member in members):
        return ""
    return value
