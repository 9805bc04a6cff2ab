"""A line from the command that `exec` runs to the services it runs with: it may stop, crash and start them.

The command finds a socket's descriptor in STACK_CONTROL_FD. A request is one line of JSON, {"service": "kafka", "act":
"stop"}; the answer, once it is done, is one line too: {"error": ""}, with words in it when it could not be done.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from config.stack.service import Service

VARIABLE = "STACK_CONTROL_FD"


def crash(service: Service) -> None:
    """The end without a word to anybody: for PostgreSQL "immediate" (SIGQUIT), which recovers from its log at the start."""
    if service.name == "postgres":
        service.child.stop(signal.SIGQUIT)
    else:
        service.kill()


ACTS: Mapping[str, Callable[[Service], None]] = {"start": Service.start, "stop": Service.stop, "crash": crash}


class Control:
    """Answers on a thread of its own until the command ends. `fileno` is what the command inherits."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._ours, self._theirs = socket.socketpair()
        self.fileno = self._theirs.fileno()
        self._thread = threading.Thread(target=self._serve, name="stack-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call it when the command has ended."""
        self._ours.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _serve(self) -> None:
        with self._ours.makefile("rwb") as line:
            for request in line:
                line.write(json.dumps({"error": self._answer(request)}).encode() + b"\n")
                line.flush()

    def _answer(self, request: bytes) -> str:
        try:
            asked: dict[str, Any] = json.loads(request)
            ACTS[asked["act"]](self._services[asked["service"]])
        except Exception as error:  # the loop's top: the other side is told, whatever it was
            return f"{type(error).__name__}: {error}"
        return ""
