from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from config.stack.child import wait_until
from config.stack.errors import PartFailed, StackError
from config.stack.postgres import DISTRIBUTION, PACKAGE, _copied
from config.stack.processes import ROOT
from config.stack.service import package_directory
from config.stack.services import Services

WAIT_S = 20.0


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("stack"), durable=False, keep=False) as running:
        yield running


def query(services: Services, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(services.env["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def topics(services: Services) -> set[str]:
    client = AdminClient({"bootstrap.servers": services.env["KAFKA_BOOTSTRAP_SERVERS"]})
    return set(client.list_topics(timeout=10).topics)


def create_topic(services: Services, name: str) -> None:
    client = AdminClient({"bootstrap.servers": services.env["KAFKA_BOOTSTRAP_SERVERS"], "log_level": 0})
    for created in client.create_topics([NewTopic(name, 1, 1)]).values():
        created.result(10)


def test_every_service_answers_when_started(services: Services) -> None:
    assert query(services, "SELECT current_setting('server_version_num')::int / 10000") == [(18,)]
    assert redis.Redis.from_url(services.env["REDIS_URL"]).ping() is True
    assert isinstance(topics(services), set)


def test_services_listen_on_loopback_only(services: Services) -> None:
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")  # how Java shows an IPv4 address
        for part in services.parts.values()
        for connection in psutil.Process(part.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_postgres_does_not_run_as_root(services: Services) -> None:
    assert 0 not in psutil.Process(services.postgres.pid).uids()


@pytest.mark.parametrize("name", ["postgres", "valkey", "kafka"])
def test_service_comes_back_on_its_port_when_killed(services: Services, name: str) -> None:
    part = getattr(services, name)
    port = part.port
    part.kill()
    assert not part.is_running()
    part.start()
    assert part.port == port
    part.probe()


@pytest.mark.kafka
def test_acknowledged_messages_stay_when_kafka_is_killed(services: Services) -> None:
    create_topic(services, "kept")
    producer = Producer({"bootstrap.servers": services.env["KAFKA_BOOTSTRAP_SERVERS"], "acks": "all", "log_level": 0})
    producer.produce("kept", b"one")
    assert producer.flush(10) == 0
    services.kafka.kill()
    services.kafka.start()
    assert "kept" in topics(services)


def test_directory_is_refused_when_it_is_in_use(services: Services) -> None:
    with pytest.raises(StackError, match=f"in use by process {os.getpid()}"):
        Services(services.directory)
    assert services.postgres.is_running()


def test_data_and_addresses_stay_when_started_again(tmp_path: Path) -> None:
    with Services(tmp_path / "stack") as first:
        query(first, "CREATE TABLE kept AS SELECT 1 AS id")
        create_topic(first, "kept")
        env = first.env
    with Services(tmp_path / "stack", keep=False) as second:
        assert second.env == env
        assert query(second, "SELECT id FROM kept") == [(1,)]
        assert "kept" in topics(second)


CRASHING = """
import sys, time
from pathlib import Path
from config.stack.services import Services
services = Services(Path(sys.argv[1]))
services.start()
print("started", flush=True)
time.sleep(600)
"""


def test_children_end_and_data_stays_when_their_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", CRASHING, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"started\n"
    children = psutil.Process(owner.pid).children(recursive=True)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert wait_until(lambda: not any(map(_lives, children)), WAIT_S)
    with Services(tmp_path, keep=False) as again:
        assert query(again, "SELECT 1") == [(1,)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_postgres_starts_when_its_lock_file_names_a_living_process(tmp_path: Path) -> None:
    with Services(tmp_path / "stack") as first:
        data = first.postgres._data
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    with Services(tmp_path / "stack", keep=False) as second:
        assert query(second, "SELECT 1") == [(1,)]


def test_external_service_is_passed_on_and_not_started(tmp_path: Path) -> None:
    given = {"REDIS_URL": "redis://elsewhere:6379/0", "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092", "OTHER": "x"}
    with Services(tmp_path / "stack", external=given, keep=False) as services:
        assert services.env == {
            "DATABASE_URL": services.postgres.url,
            "REDIS_URL": "redis://elsewhere:6379/0",
            "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092",
        }
        assert not services.valkey.is_running()
        assert not services.kafka.is_running()


def test_nothing_is_left_when_the_data_is_not_kept(tmp_path: Path) -> None:
    services = Services(tmp_path / "stack", keep=False)
    services.start()
    data = services.postgres._data
    assert data.exists()
    services.stop()
    assert not data.exists()
    assert not services.directory.exists()


def test_failure_names_the_part_and_shows_its_log(tmp_path: Path) -> None:
    services = Services(tmp_path / "stack", keep=False)
    services.postgres.port = 1 << 16  # no such port: PostgreSQL refuses the setting
    with pytest.raises(PartFailed, match=r"postgres ended while starting \(exit code 1\)\n(.*\n)*.*65536"):
        services.start()
    assert not services.valkey.is_running()


def test_secrets_are_private_and_kept(tmp_path: Path) -> None:
    first = Services(tmp_path)
    file = tmp_path / "secrets.json"
    first.stop()
    assert file.stat().st_mode & 0o077 == 0
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({"SECRET_KEY": kept["SECRET_KEY"]}))
    second = Services(tmp_path, keep=False)
    assert second.secrets["SECRET_KEY"] == kept["SECRET_KEY"]
    assert second.secrets["ENCRYPTION_KEYS"] != kept["ENCRYPTION_KEYS"]
    second.stop()


def test_copied_programs_find_their_libraries(tmp_path: Path) -> None:
    copy = _copied(package_directory(PACKAGE, DISTRIBUTION), tmp_path)
    for program in ("postgres", "initdb"):
        subprocess.run([copy / "bin" / program, "--version"], check=True, capture_output=True)
    assert _copied(package_directory(PACKAGE, DISTRIBUTION), tmp_path) == copy
