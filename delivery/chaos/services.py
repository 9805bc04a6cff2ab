"""The run's own services, which it may stop, crash and start: the other end of config.stack.control."""

from __future__ import annotations

import json
import os
import socket

CONTROL_VARIABLE = "STACK_CONTROL_FD"


class ServiceError(RuntimeError):
    """A service did not do what it was told."""


class ServiceControl:
    """One request at a time; each returns when it is done. Raises ServiceError."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._line = self._socket.makefile("rb")

    @classmethod
    def inherited(cls) -> ServiceControl | None:
        """None where no services of our own were started for us."""
        descriptor = os.environ.get(CONTROL_VARIABLE)
        return cls(int(descriptor)) if descriptor else None

    def start(self, service: str) -> None:
        self._do(service, "start")

    def stop(self, service: str) -> None:
        self._do(service, "stop")

    def crash(self, service: str) -> None:
        self._do(service, "crash")

    def _do(self, service: str, act: str) -> None:
        try:
            self._socket.sendall(json.dumps({"service": service, "act": act}).encode() + b"\n")
            answer = self._line.readline()
        except BrokenPipeError:
            answer = b""
        error = json.loads(answer)["error"] if answer else "the services are gone"
        if error:
            raise ServiceError(f"{act} {service}: {error}")

    def close(self) -> None:
        self._line.close()
        self._socket.close()
