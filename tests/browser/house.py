"""What a new user has after `make run`: the whole stack on ports of its own, its demo users, and the public APIs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config.stack import demo
from config.stack.demo import Demo
from config.stack.services import VARIABLES
from delivery.bench.processes import free_port
from tests.waiting import eventually

STARTS_WITHIN_S = 100.0
STOPS_WITHIN_S = 30.0
# So that a few deliveries need a second person, where the default is a thousand.
APPROVAL_REPLAY_COUNT = 5


@dataclass(slots=True)
class House:
    """`users` have `password`. Everything below is done by the public API, as a user's programs would."""

    demo: Demo
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.demo.url

    @property
    def password(self) -> str:
        return self.demo.console_password

    def environment(self) -> dict[str, str]:
        """Where the stack's services are."""
        lines = (self.directory / "stack" / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def publish(self, plugin: str, version: str = "1.0.0", count: int = 1, **changes: object) -> list[str]:
        """Releases of a plugin; returns the events' ids. `changes` are attributes of the event."""
        events = [demo.release_event(self.demo.tenant, plugin, version) | changes for _ in range(count)]
        answer = demo.publish(self.demo, events, demo.BATCH)
        return [each["id"] for each in answer["events"]]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the REST API; AssertionError when it is a refusal."""
        parts = urlsplit(self.url)
        connection = HTTPConnection(parts.netloc, timeout=20)
        headers = {"authorization": f"Bearer {self.demo.api_key}", "content-type": "application/json"}
        try:
            connection.request(
                method, f"/internal/events/{path}", json.dumps(body) if body is not None else None, headers
            )
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
        return json.loads(text) if text else None

    def subscriber(self, url: str, ordering: str = "none") -> Subscriber:
        """An endpoint with a subscription of its own: `subscriber.release(…)` reaches it, and the demo's own, which take
        everything. Its deliveries die at the first failure."""
        name = f"sink-{uuid.uuid4().hex[:8]}"
        made = self.call("POST", "endpoints", {"slug": name, "name": f"Sink {name[5:]}", "url": url})
        endpoint = made["endpoint"]
        rule = {
            "slug": f"{name}-releases",
            "endpoint": endpoint["id"],
            "types": ["plugin.release.published"],
            "filters": [{"exact": {"source": f"/{name}"}}],
            "retry_policy": {"schedule_s": [0]},
            "ordering": ordering,
        }
        self.call("POST", "subscriptions", rule)
        made_here = Subscriber(self, name, endpoint["id"])
        eventually(made_here.is_known, timeout=30.0)
        made_here.deliveries("delivered")  # the probe's; nothing of it comes later
        return made_here


@dataclass(frozen=True, slots=True)
class Subscriber:
    """`id` is the endpoint's."""

    house: House
    name: str
    id: int

    def release(self, plugin: str, version: str = "1.0.0", count: int = 1) -> list[str]:
        return self.house.publish(plugin, version, count, source=f"/{self.name}")

    def is_known(self) -> bool:
        """Whether the processes follow it by now: a release reached it. Its receiver answers 204 until then."""
        return bool(self._probed())

    def is_held(self) -> bool:
        """Whether the processes know by now that it is paused: what is released waits."""
        [probe] = self._probed()
        return eventually(lambda: self._settled(probe["id"])) == "pending"

    def _probed(self) -> list[dict[str, Any]]:
        """The deliveries to it of one more release, once that is ingested."""
        subject = f"probe-{self.name}"
        [event] = self.release(subject)
        call = self.house.call
        eventually(lambda: event in [each["id"] for each in call("GET", f"events?subject={subject}")["items"]])
        found: list[dict[str, Any]] = call("GET", f"deliveries?event={event}&endpoint={self.id}")["items"]
        return found

    def _settled(self, delivery_id: str) -> str:
        """Its status once it is held or has ended; "" until then."""
        told = self.house.call("GET", f"deliveries/{delivery_id}")
        return str(told["status"]) if told["held_reason"] or told["status"] != "pending" else ""

    def deliveries(self, status: str, least: int = 1) -> list[dict[str, Any]]:
        """Newest first, once there are so many."""
        return eventually(lambda: self._found(status, least), timeout=60.0)

    def _found(self, status: str, least: int) -> list[dict[str, Any]]:
        page = self.house.call("GET", f"deliveries?endpoint={self.id}&status={status}&limit=100")
        found: list[dict[str, Any]] = page["items"]
        return found if len(found) >= least else []


def start(directory: Path, environment: Mapping[str, str] | None = None) -> House:
    """`make run`'s own command. AssertionError with its output when it does not come up."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "ENVIRONMENT")}
    env = {
        **inherited,
        "PORT": str(port),
        "STACK_DIR": str(directory / "stack"),
        "APPROVAL_REPLAY_COUNT": str(APPROVAL_REPLAY_COUNT),
        "LOG_LEVEL": "INFO",
        **(environment or {}),
    }
    log = directory / "stack.log"
    with log.open("wb") as out:
        argv = [sys.executable, "-m", "config.stack", "run", "--with-parent"]
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: _is_up(process, log), timeout=STARTS_WITHIN_S)
    except AssertionError:
        stop(process)
        raise AssertionError(log.read_text()) from None
    told = json.loads((directory / "stack" / "demo.json").read_text())
    told.pop("sample_event")
    return House(Demo(**told), directory, process)


def _is_up(process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return "READY http" in log.read_text()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
