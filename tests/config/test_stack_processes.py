"""Procfile, compose.yaml and what `make run` starts are three readers of one list."""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from config.stack.demo import RELEASES, release_event, releases, timeline
from config.stack.errors import StackError
from config.stack.ports import PORTS, Ports, is_free
from config.stack.processes import ROOT, application, procfile, with_this_python

SERVICES = {"postgres", "valkey", "kafka"}
OBSERVABILITY = {"prometheus", "grafana"}
ONE_OFFS = {"migrate"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_compose_runs_the_processes_of_the_procfile(compose: dict[str, Any]) -> None:
    commands = {
        name: service["command"]
        for name, service in compose["services"].items()
        if name not in SERVICES | ONE_OFFS | OBSERVABILITY
    }
    assert commands == procfile()


def test_make_run_runs_the_processes_of_the_procfile() -> None:
    assert application().keys() == procfile().keys()
    assert all(argv[0] == sys.executable for argv in application().values())
    assert application()["beat"][1:] == ["-m", "celery", "-A", "config", "--quiet", "beat"]


def test_program_is_refused_when_it_is_not_pythons() -> None:
    with pytest.raises(StackError, match="node is neither"):
        with_this_python(["node", "server.js"])


def test_every_management_command_of_the_procfile_exists() -> None:
    for words in procfile().values():
        if words[0] == "python":
            assert list(ROOT.glob(f"*/management/commands/{words[2]}.py")), shlex.join(words)


def test_compose_waits_for_the_migration_and_runs_without_rights(compose: dict[str, Any]) -> None:
    for name in procfile():
        service = compose["services"][name]
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert service["cap_drop"] == ["ALL"]
        assert "healthcheck" in service
    for name in SERVICES:
        assert compose["services"][name]["healthcheck"]["test"]
        assert compose["services"]["migrate"]["depends_on"][name] == {"condition": "service_healthy"}


def test_compose_demands_the_secrets(compose: dict[str, Any]) -> None:
    environment = compose["services"]["web"]["environment"]
    for name in ("SECRET_KEY", "ENCRYPTION_KEYS"):
        assert environment[name].startswith(f"${{{name}:?")
    assert "${POSTGRES_PASSWORD:?" in environment["DATABASE_URL"]


def test_image_runs_as_an_unprivileged_user() -> None:
    assert re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["eventcenter"]


def test_image_holds_all_that_it_copies() -> None:
    copied = re.findall(r"^COPY (?!--)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_kafka_is_the_same_version_in_compose_and_in_the_tests(compose: dict[str, Any]) -> None:
    pom = (ROOT / "tests/kafka/pom.xml").read_text()
    tested = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.+)</version>", pom)
    assert tested is not None
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{tested[1]}"


def test_port_is_remembered_and_replaced_when_it_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    port = Ports(file).get("web")
    assert port in PORTS
    assert Ports(file).get("web") == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        other = Ports(file).get("web")
    assert other != port
    assert Ports(file).get("web") == other


def test_demo_events_fit_their_schema() -> None:
    schema = json.loads((ROOT / "config/events/schemas/plugin.release.published/1.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    assert len(releases()) == len(RELEASES.read_text().splitlines()) - 1
    for plugin, version in releases():
        validator.validate(release_event("artisan-cloud", plugin, version)["data"])


def test_demo_events_differ_in_their_id_only() -> None:
    first, second = (release_event("artisan-cloud", "pytest-cov", "7.1.0") for _ in range(2))
    assert first["id"] != second["id"]
    assert first["data"]["artifact"] == second["data"]["artifact"]


def test_timeline_tells_each_receiver_and_what_became_of_the_signature() -> None:
    event = {**release_event("artisan-cloud", "pytest-cov", "7.1.0"), "id": "e-1"}
    receipts = [
        {"path": "/ci-cd", "received_at": 100.042, "verified": True},
        {"path": "/inventory", "received_at": 100.05, "verified": False},
    ]
    lines = timeline(event, {"events": [{"id": "01a2"}]}, 12.3, 100.0, receipts)
    assert lines == [
        "  pytest-cov 7.1.0, tenant artisan-cloud, event e-1",
        "       0 ms  signed POST /internal/events/publish",
        "      12 ms  202 Accepted, stored as 01a2",
        "      42 ms  webhook at /ci-cd, signature ok",
        "      50 ms  webhook at /inventory, SIGNATURE REFUSED",
    ]
    assert "nothing was received" in timeline(event, {"events": [{"id": "01a2"}]}, 12.3, 100.0, [])[-1]
