"""`make run`: from an empty directory to a release delivered, then everything kept running until it is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from config.stack import demo, processes
from config.stack.child import Child, Command
from config.stack.errors import PartFailed, StackError
from config.stack.ports import LOOPBACK, accepts, is_free
from config.stack.progress import Progress
from config.stack.services import VARIABLES, Services, write_private
from config.stack.supervisor import Supervisor

READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 10.0
LOOK_EVERY_S = 0.2
RECEIVER = "receiver"
# In this order: subscriptions need event types, and the demo's key needs a tenant, which subscriptions.yaml names.
SETUP = (
    "migrate",
    "sync_event_types",
    "create_topics",
    "maintain_partitions",
    "sync_subscriptions --adopt --overwrite-drift",
    "sync_alert_rules --adopt",
    "load_demo --json",
)


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception: nothing but the end of the run may take it."""


class Run:
    """One run over `directory`; `port` is where the web process listens."""

    def __init__(self, directory: Path, port: int) -> None:
        self._say = Progress()
        self._directory = directory.resolve()
        self._port = port
        self._stopping: list[tuple[str, Callable[[], None]]] = []

    def __call__(self) -> None:
        """Returns when interrupted. Raises StackError when a part does not start; everything is stopped either way."""
        catch_signals()
        try:
            self._go()
        except Interrupted:
            self._say("stopping")
        finally:
            ignore_signals()
            self._stop()

    def _go(self) -> None:
        if not is_free(self._port):
            raise StackError(
                f"port {self._port} (PORT) is taken by another program. Choose another one, e.g. PORT=8001 make run"
            )
        services = self._start_services()
        receiver_port = services.ports.get(RECEIVER)
        env = application_environment(services, self._port, receiver_port)
        self._write_env(env)
        told = self._load_demo(env, receiver_port)
        ports = {name: services.ports.get(f"metrics-{name}") for name in processes.with_metrics_port()}
        self._write_targets(ports)
        supervisor = self._start_processes(services, env, receiver_port, ports)
        self._wait_ready(supervisor)
        demo.show(told, Progress.plain)
        Progress.plain(welcome(told, self._directory, ports))
        Progress.plain(f"READY {told.url}")
        while True:
            supervisor.look()
            time.sleep(LOOK_EVERY_S)

    def _start_services(self) -> Services:
        self._say(f"starting the services in {self._directory}")
        services = Services(self._directory, external=os.environ, progress=self._say)
        self._stopping.append(("services", services.stop))
        for variable in VARIABLES:
            if variable not in services.parts:
                self._say(f"{variable} is set: using that service")
        for name in services.leftovers:
            self._say(f"{name} was left by a run that crashed; it was ended")
        services.start()
        return services

    def _write_env(self, env: Mapping[str, str]) -> None:
        """What `manage.py` beside a running stack reads. It goes when the stack stops: its addresses are dead then."""
        file = self._directory / "env"
        kept = {name: value for name, value in env.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        write_private(file, "".join(f"{name}={value}\n" for name, value in kept.items()))
        self._stopping.append(("env", lambda: file.unlink(missing_ok=True)))

    def _write_targets(self, ports: Mapping[str, int]) -> None:
        """Where a Prometheus on this machine finds all metrics."""
        targets = processes.metrics_targets({"web": self._port, **ports})
        (self._directory / "metrics_targets.json").write_text(json.dumps(targets, indent=1))

    def _prepare(self, env: Mapping[str, str]) -> dict[str, Any]:
        """Runs the management commands; returns what the last one told: its JSON, which holds secrets."""
        child = Child(self._directory, "prepare")
        reading, writing = os.pipe()
        argv = [sys.executable, "-m", "config.stack.prepare", *SETUP]
        child.spawn(Command(argv, {**os.environ, **env}, cwd=processes.ROOT, output=writing))
        os.close(writing)
        command = last = ""
        try:
            with os.fdopen(reading) as lines:
                for line in lines:
                    last = line.strip()
                    if last in SETUP:
                        command = last
                        self._say(f"manage.py {command}")
            code = child.wait(ENDS_WITHIN_S)
        finally:
            child.kill()
        if code != 0:
            raise PartFailed(f"manage.py {command}", f"failed (exit code {code})", child.log)
        return dict(json.loads(last))

    def _load_demo(self, env: Mapping[str, str], receiver_port: int) -> demo.Demo:
        made = self._prepare(env)
        write_private(self._directory / "receiver.json", json.dumps(made.pop("receiver_secrets")))
        told = demo.Demo(f"http://{LOOPBACK}:{self._port}", f"http://{LOOPBACK}:{receiver_port}", **made)
        sample = demo.release_event(told.tenant, *demo.releases()[0])
        write_private(self._directory / "demo.json", json.dumps({**asdict(told), "sample_event": sample}, indent=1))
        return told

    def _start_processes(
        self, services: Services, env: Mapping[str, str], receiver_port: int, ports: Mapping[str, int]
    ) -> Supervisor:
        argvs = processes.application()
        secrets = str(self._directory / "receiver.json")
        argvs[RECEIVER] = [sys.executable, "-m", "config.stack.receiver", "--port", str(receiver_port)]
        argvs[RECEIVER] += ["--secrets", secrets]
        commands = {
            Child(self._directory, name): Command(
                argv,
                {**os.environ, **env, **process_environment(name, ports.get(name, 0))},
                cwd=processes.ROOT,
                death_signal=signal.SIGTERM,
            )
            for name, argv in argvs.items()
        }
        supervisor = Supervisor(commands, services.parts.values(), self._say)
        self._stopping.append(("processes", supervisor.stop))
        self._say(f"starting {', '.join(argvs)}")
        supervisor.start()
        return supervisor

    def _wait_ready(self, supervisor: Supervisor) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        status, text = 0, "no answer"
        while status != 200:
            if time.monotonic() > deadline:
                log = self._directory / "logs" / "web.log"
                raise PartFailed("web", f"is not ready after {READY_WITHIN_S:.0f} s; /readyz says: {text[:1000]}", log)
            supervisor.check_start()
            time.sleep(LOOK_EVERY_S)
            if accepts(self._port):
                status, text = ask(f"http://{LOOPBACK}:{self._port}/readyz")
        self._say("all parts are ready")

    def _stop(self) -> None:
        """In the reverse of the order of starting; one part's trouble does not keep the others running."""
        while self._stopping:
            name, stop = self._stopping.pop()
            try:
                stop()
            except Exception as error:  # whatever it is, the rest must still be stopped
                self._say(f"{name} could not be stopped: {error!r}")
        self._say("stopped")


def application_environment(services: Services, port: int, receiver_port: int) -> dict[str, str]:
    """What every process of the application gets; also written to `env` in the directory."""
    metrics = services.directory / "prometheus"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    return {
        **services.env,
        "ENVIRONMENT": "development",
        "SECRET_KEY": services.secrets["SECRET_KEY"],
        "ENCRYPTION_KEYS": services.secrets["ENCRYPTION_KEYS"],
        "DEMO_CONSOLE_PASSWORD": services.secrets["DEMO_CONSOLE_PASSWORD"],
        "DEMO_RECEIVER_URL": f"http://{LOOPBACK}:{receiver_port}",
        "WEBHOOK_ALLOWED_CIDRS": "127.0.0.0/8,::1/128",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "KAFKA_EVENTS_RETENTION_HOURS": "24",
        # Ctrl-C shall end all within ten seconds; the demo's receiver answers in milliseconds.
        "WORKER_STOP_DEADLINE_S": "5",
        "CELERY_BEAT_SCHEDULE_FILENAME": str(services.directory / "beat-schedule"),
        "STACK_DIR": str(services.directory),
        "PORT": str(port),
        "PUBLIC_URL": f"http://{LOOPBACK}:{port}",
        "OPS_TENANT": "artisan-cloud",
        "PYTHONUNBUFFERED": "1",
    }


def process_environment(name: str, metrics_port: int) -> dict[str, str]:
    """What one supervised process gets beside that. A consumer that was killed takes its partitions over again at once
    under its name; the embedded Kafka endpoint lets no other member in while it still lists a killed one."""
    return {"PROCESS_NAME": name, "KAFKA_CONSUMER_INSTANCE": f"{name}-1", "METRICS_PORT": str(metrics_port)}


def welcome(told: demo.Demo, directory: Path, metrics_ports: Mapping[str, int]) -> str:
    ports = ", ".join(f"{name} {port}" for name, port in metrics_ports.items())
    return "\n".join(
        (
            f"  console   {told.url}/  user {told.console_user}, password {told.console_password}",
            f"            or, with the same password, {' or '.join(told.other_users)}",
            f"  receiver  {told.receiver_url}/  shows what was delivered",
            f"  metrics   {told.url}/metrics and, of each process, http://{LOOPBACK}:PORT/metrics:",
            f"            {ports}",
            f"  logs      {directory / 'logs'}",
            f"  publish   key and secret, and an API key, are in {directory / 'demo.json'}",
            "  Ctrl-C stops everything",
            "",
        )
    )


def ask(url: str) -> tuple[int, str]:
    try:
        return demo.http(url)
    except OSError as error:
        return 0, str(error)


def catch_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """While stopping: a second Ctrl-C must not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    ignore_signals()
    raise Interrupted
