"""What every log line of this process, and of the request that a thread serves, has besides its own fields.

Without Django: gunicorn's master logs with it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple
from uuid import uuid4

from eventcenter.tracing.w3c import TraceContext, parse, trace_id_of

# What a proxy or a caller may give as X-Request-ID: it goes into answers and logs as it is.
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Serving(NamedTuple):
    """One web request. The trace is that of its span, else the one that the caller gave; "" where neither is."""

    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""

    @property
    def trace(self) -> TraceContext | None:
        return parse(self.traceparent)


NOTHING = Serving()
_serving: ContextVar[Serving] = ContextVar("serving", default=NOTHING)
_role = ""


def serving() -> Serving:
    """The request that this thread serves; NOTHING outside of one."""
    return _serving.get()


@contextmanager
def entered(request: Serving) -> Iterator[None]:
    token = _serving.set(request)
    try:
        yield
    finally:
        _serving.reset(token)


def set_role(name: str) -> None:
    """What this process is, as the Procfile calls it."""
    global _role
    _role = name


def role() -> str:
    return _role


def request_id_of(given: str | None) -> str:
    """The caller's, where it can be one; else a new one."""
    return given if given and _GIVEN_ID.fullmatch(given) else uuid4().hex


def fields(request: Serving | None = None) -> dict[str, str]:
    """Those that have a value: role, request_id, trace_id; of `request`, or of the one that this thread serves."""
    request = request or serving()
    found = {"role": _role, "request_id": request.request_id, "trace_id": trace_id_of(request.traceparent)}
    return {name: value for name, value in found.items() if value}
