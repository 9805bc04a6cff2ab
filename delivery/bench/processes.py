"""The benchmark's processes: the application's own commands against the sink, and what CPU each of them used."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import psutil
from django.conf import settings

from delivery.models import DispatchLane
from delivery.queue_order import QUEUE_PREFIX

STOP_WAIT_S = 10.0
CELERY = [sys.executable, "-m", "celery", "-A", "config", "--quiet", "worker", "-P", "threads", "-c", "2"]
ALL_QUEUES = ",".join(QUEUE_PREFIX + lane for lane in DispatchLane.values)
CELERY_FLAGS = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
MANAGE = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]


@dataclass(slots=True)
class Part:
    """One process of ours, its output in `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    argv: list[str]
    env: dict[str, str]

    def kill(self) -> None:
        """SIGKILL, to what it started too: as when a machine's memory runs out."""
        family = [self.process.pid, *_children(self.process.pid)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Fleet:
    """Starts, stops and weighs the processes. Use as a context manager: the end of it ends them all."""

    def __init__(self, logs: Path, env: Mapping[str, str]) -> None:
        self.logs = logs
        self.env = {**os.environ, **env}
        self.parts: dict[str, Part] = {}

    def __enter__(self) -> Fleet:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for part in reversed(list(self.parts.values())):
            part.stop()

    def start(self, name: str, argv: list[str], stdout: int | IO[bytes] | None = None) -> Part:
        log = self.logs / f"{name}.log"
        env = dict(self.env)
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                argv, env=env, cwd=settings.BASE_DIR, stdout=stdout or out, stderr=out
            )
        self.parts[name] = Part(name, process, log, argv, env)
        return self.parts[name]

    def start_again(self, name: str) -> Part:
        """One that ended, as it was started before; its log goes on."""
        former = self.parts[name]
        with former.log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                former.argv, env=former.env, cwd=settings.BASE_DIR, stdout=out, stderr=out
            )
        self.parts[name] = replace(former, process=process)
        return self.parts[name]

    def start_told(self, name: str, argv: list[str]) -> dict[str, Any]:
        """Starts a process that prints a line of JSON once it is up; returns that."""
        part = self.start(name, argv, stdout=subprocess.PIPE)
        assert part.process.stdout is not None
        with part.process.stdout as said:
            told: dict[str, Any] = json.loads(said.readline())
            return told

    def start_sink(self, name: str = "sink", delay_ms: float = 0, port: int = 0) -> str:
        """Returns its base URL. `port` 0: a free one."""
        argv = [sys.executable, "-m", "delivery.bench.sink", "--port", str(port), "--delay-ms", str(delay_ms)]
        return f"http://127.0.0.1:{self.start_told(name, argv)['port']}"

    def start_web(self, port: int) -> Part:
        """Serves on 127.0.0.1:`port`; it is up when /healthz answers."""
        self.env |= {"PORT": str(port)}
        return self.start("web", [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"])

    def start_relay(self) -> Part:
        return self.start("relay", [*MANAGE, "relay_outbox"])

    def start_consumer(self, name: str = "consumer", instance: str = "consumer-1") -> Part:
        """Under the same `instance` a new one takes a killed one's partitions over at once."""
        self.env |= {"KAFKA_CONSUMER_INSTANCE": instance}
        return self.start(name, [*MANAGE, "consume_events"])

    def start_sweep(self) -> Part:
        return self.start("sweep", [*MANAGE, "sweep_deliveries"])

    def start_replays(self) -> Part:
        return self.start("replays", [*MANAGE, "run_replays"])

    def start_worker(self, name: str, queues: str = ALL_QUEUES) -> Part:
        return self.start(name, [*CELERY, "-Q", queues, "-n", f"{name}@%h", *CELERY_FLAGS])

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far by process name, of ours and of the services in BENCH_SERVICE_PIDS (name:pid, …)."""
        pids = {name: part.process.pid for name, part in self.parts.items() if part.process.poll() is None}
        for word in self.env.get("BENCH_SERVICE_PIDS", "").split(","):
            name, _, pid = word.partition(":")
            if pid:
                pids[name] = int(pid)
        return {"bench": _cpu_of(os.getpid(), with_children=False)} | {name: _cpu_of(pid) for name, pid in pids.items()}


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_of(pid: int, with_children: bool = True) -> float:
    process = psutil.Process(pid)
    own: Any = process.cpu_times()
    used = float(own.user + own.system)
    if not with_children:
        return used
    used += float(own.children_user + own.children_system)
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += float(times.user + times.system)
    return used


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
