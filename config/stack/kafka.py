"""A Kafka endpoint: noida-db from a wheel by default, Apache Kafka where STACK_KAFKA=apache asks for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import ClassVar

from confluent_kafka.admin import AdminClient

from config.stack import longpoll
from config.stack.child import Command
from config.stack.errors import StackError
from config.stack.ports import LOOPBACK, Ports, accepts
from config.stack.service import Service, package_directory, plain_environment

ANSWER_TIMEOUT_S = 5.0
CHOICE_VARIABLE = "STACK_KAFKA"
JARS_VARIABLE = "STACK_KAFKA_JARS"
JVM_OPTIONS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
auto.create.topics.enable=false
"""


class Kafka(Service):
    """What both kinds have in common: the address, and ready when the cluster's metadata is answered."""

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def probe(self) -> None:
        # The client library would go on logging refused connections: it is asked only when somebody listens.
        if not accepts(self.port):
            raise ConnectionError("nothing listens yet")
        client = AdminClient({"bootstrap.servers": self.url, "log_level": 0})
        client.list_topics(timeout=ANSWER_TIMEOUT_S)


class NoidaKafka(Kafka):
    """Keeps everything in memory and saves it every two seconds and on SIGTERM. What was acknowledged since the last
    save is lost by a SIGKILL, which no Kafka does: `kill` and the death signal are SIGTERM here, so that a broker that
    goes away without a word to its clients means the same on both kinds."""

    name: ClassVar[str] = "kafka"

    def __init__(self, home: Path, port: int, broker_port: int) -> None:
        super().__init__(home, port)
        self._broker_port = broker_port

    def command(self) -> Command:
        program = package_directory("noida_db", "noida-db") / "noida-db"
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
        data = self.home / "kafka"
        data.mkdir(parents=True, exist_ok=True)
        options = [
            "--data-dir",
            str(data),
            "--host",
            LOOPBACK,
            "--only",
            "kafka",
            "--kafka-port",
            str(self._broker_port),
        ]
        proxy = [sys.executable, longpoll.__file__, "--port", str(self.port), "--broker-port", str(self._broker_port)]
        return Command(
            argv=[*proxy, "--", str(program), "start", *options],
            env=plain_environment(HOME=str(data)),
            cwd=data,
            death_signal=signal.SIGTERM,
        )

    def kill(self) -> None:
        self.stop()


class ApacheKafka(Kafka):
    """One KRaft node. The broker's jars are those that `make test-kafka` put into the directory STACK_KAFKA_JARS."""

    name: ClassVar[str] = "kafka-apache"

    def __init__(self, home: Path, port: int, controller_port: int) -> None:
        super().__init__(home, port)
        self._controller_port = controller_port

    def command(self) -> Command:
        place = self.home / self.name
        place.mkdir(parents=True, exist_ok=True)
        properties = place / "server.properties"
        data = place / "data"
        properties.write_text(
            SERVER_PROPERTIES.format(
                host=LOOPBACK, port=self.port, controller_port=self._controller_port, data=data.as_posix()
            )
        )
        if not (data / "meta.properties").exists():
            self._format(properties)
        return Command(argv=_java("kafka.Kafka", str(properties)), env=plain_environment(), cwd=place)

    def _format(self, properties: Path) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With "=": an id may begin with "-", and would be taken for an option.
        argv = _java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config", str(properties))
        done = subprocess.run(argv, env=dict(plain_environment()), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"{self.name} could not format its storage:\n{done.stdout}{done.stderr}")


def _java(main: str, *arguments: str) -> list[str]:
    jars = os.environ.get(JARS_VARIABLE)
    if not jars or not any(Path(jars).glob("kafka_*.jar")):
        raise StackError(f"{JARS_VARIABLE} must name the directory of Apache Kafka's jars; make test-kafka does")
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not java:
        raise StackError("there is no java on the PATH")
    return [java, *JVM_OPTIONS, "-cp", f"{jars}/*", main, *arguments]


def kafka_service(home: Path, ports: Ports) -> Kafka:
    choice = os.environ.get(CHOICE_VARIABLE) or "noida"
    if choice == "noida":
        return NoidaKafka(home, ports.get(NoidaKafka.name), ports.get("kafka-broker"))
    if choice == "apache":
        return ApacheKafka(home, ports.get(ApacheKafka.name), ports.get("kafka-apache-controller"))
    raise StackError(f"{CHOICE_VARIABLE} takes noida or apache, not {choice!r}")
