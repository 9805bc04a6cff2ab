"""README is true: its snippets publish, its tables name what is read, and no link of the documentation leads nowhere."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from django.core.management import call_command

from config.stack.demo import Demo, http, release_event
from config.stack.ports import LOOPBACK, Ports
from delivery.bench.processes import Fleet
from eventcenter.flags import AS_SHIPPED
from eventcenter.models import EventType
from subscriptions.demo import DEMO_TENANT, load_demo
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MATCHING_SUBSCRIPTIONS = 2  # of config/events/subscriptions.yaml, for the sample event
SNIPPET_TIMEOUT_S = 30

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
FLAG_ROW = re.compile(rf"^\| `({'|'.join(AS_SHIPPED)})` (\|.*)$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def snippet(language: str, contains: str) -> str:
    """The one fenced block of README in that language with that text."""
    [found] = [
        block["text"] for block in FENCE.finditer(README) if block["language"] == language and contains in block[0]
    ]
    return found


def table(heading: str) -> dict[str, tuple[str, str]]:
    """First column → the other two, of the first table below a line that begins with `heading`."""
    below = README.split(f"\n{heading}", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert rows is not None
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows[0].splitlines()[2:]]
    return {name.strip("`"): (default, takes) for name, default, takes in cells}


@dataclass(frozen=True)
class System:
    """A running system with the demo's data, and the directory that a snippet reads."""

    stack: Path
    receiver_url: str

    def run(self, *argv: str) -> str:
        """What a reader sees on the terminal; the snippet must not fail."""
        env = {**os.environ, "STACK_DIR": str(self.stack)}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=SNIPPET_TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def verdicts(self) -> list[bool]:
        """Of each webhook that the demo's receiver got: whether it was signed as it should."""
        return [receipt["verified"] for receipt in json.loads(http(f"{self.receiver_url}/received")[1])["receipts"]]

    def wait_for_webhooks(self, count: int) -> None:
        eventually(lambda: len(self.verdicts()) >= count, timeout=30)
        assert self.verdicts() == [True] * count


def answers(url: str) -> bool:
    try:
        return http(url)[0] == 200
    except OSError:
        return False


@pytest.fixture
def system(event_types: list[EventType], fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """As `make run` sets it up: the subscriptions file, the demo's key, its receiver and the files in STACK_DIR."""
    ports = Ports(tmp_path / "ports.json")
    web, receiver = (f"http://{LOOPBACK}:{ports.get(name)}" for name in ("web", "receiver"))
    monkeypatch.setenv("DEMO_RECEIVER_URL", receiver)
    call_command("sync_subscriptions", stdout=sys.stderr)
    made = asdict(load_demo("calm-night-shift", receiver))
    secrets = tmp_path / "receiver.json"
    secrets.write_text(json.dumps(made.pop("receiver_secrets")))
    demo = asdict(Demo(web, receiver, **made)) | {"sample_event": release_event(DEMO_TENANT, "event-mesh", "2.4.1")}
    (tmp_path / "demo.json").write_text(json.dumps(demo))
    told = ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_EVENTS_TOPIC")
    (tmp_path / "env").write_text("".join(f"{name}={fleet.env[name]}\n" for name in told))
    receiver_argv = ["config.stack.receiver", "--port", str(ports.get("receiver")), "--secrets", str(secrets)]
    fleet.start("receiver", [sys.executable, "-m", *receiver_argv])
    fleet.start_web(ports.get("web"))
    fleet.start_consumer()
    fleet.start_worker("worker")
    eventually(lambda: answers(f"{web}/healthz") and answers(f"{receiver}/received"), timeout=30)
    return System(tmp_path, receiver)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl")
def test_shell_snippet_is_accepted_and_delivered_when_it_is_run_as_it_stands(system: System) -> None:
    shown = system.run("sh", "-eu", "-c", snippet("sh", "/internal/events/publish"))

    answer, status = shown.strip().splitlines()
    assert status == "HTTP 202"
    assert [event["duplicate"] for event in json.loads(answer)["events"]] == [False]
    system.wait_for_webhooks(MATCHING_SUBSCRIPTIONS)


def test_python_snippets_are_accepted_and_delivered_when_they_are_run_as_they_stand(system: System) -> None:
    shown = system.run(sys.executable, "-c", snippet("python", "/internal/events/publish"))
    assert re.fullmatch(r'202 \{"events":\[\{"id":"[0-9a-f-]{36}","duplicate":false\}\]\}\n', shown)
    system.wait_for_webhooks(MATCHING_SUBSCRIPTIONS)

    shown = system.run(sys.executable, "-c", snippet("python", "confluent_kafka"))
    assert shown.startswith("written ")
    system.wait_for_webhooks(2 * MATCHING_SUBSCRIPTIONS)


def readings() -> Iterator[tuple[str, list[ast.expr]]]:
    """Each variable that config/settings.py reads, with the reader's other arguments; env's after the bare look-ups."""
    found: list[tuple[bool, str, list[ast.expr]]] = []
    for node in ast.walk(ast.parse((ROOT / "config" / "settings.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            name, source = node.args[0], ast.unparse(node.func.value)
            if source in ("env", "os.environ") and isinstance(name, ast.Constant):
                others = [argument for argument in node.args[1:] if not isinstance(argument, ast.Tuple)]
                found.append((source == "env", str(name.value), others))
    return ((name, others) for _, name, others in sorted(found, key=lambda reading: reading[0]))


def literal_default(arguments: list[ast.expr]) -> str | None:
    """As the table writes it; None when the settings work it out."""
    if not arguments:
        return "empty"
    if not isinstance(arguments[0], ast.Constant):
        return None
    value = arguments[0].value
    shown = str(value).lower() if isinstance(value, bool) else str(value or "")
    return f"`{shown}`" if shown else "empty"


def test_table_names_what_the_settings_read_when_compared_with_their_source() -> None:
    documented, read = table("### Configure"), dict(readings())

    assert sorted(documented) == sorted(read)
    defaults = {name: literal_default(arguments) for name, arguments in read.items()}
    known = {name: default for name, default in defaults.items() if default}
    assert {name: documented[name][0] for name in known} == known


def test_table_tells_the_bounds_of_numbers_when_compared_with_the_settings() -> None:
    documented = table("### Configure")
    bounds = {name: [ast.literal_eval(end) for end in args[1:]] for name, args in readings() if len(args) == 3}

    assert "DISPATCH_LEASE_S" in bounds
    for name, (least, most) in bounds.items():
        assert f"{least} to {most}" in documented[name][1], name


def test_table_of_the_web_process_names_what_gunicorn_reads_when_compared_with_its_file() -> None:
    text = (ROOT / "config" / "gunicorn.py").read_text()

    assert sorted(table("The web process")) == sorted(set(re.findall(r"os\.environ\.get\(['\"](\w+)['\"]", text)))


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere_when_followed(page: Path) -> None:
    for link in LINK.finditer(FENCE.sub("", page.read_text())):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.is_relative_to(ROOT), link[0]
        assert target.exists(), link[0]
        assert not link["anchor"] or link["anchor"] in anchors(target), link[0]


def test_flags_are_those_of_the_code_when_readme_lists_them() -> None:
    documented = {name: row.rstrip("|").split("|")[-1].strip() for name, row in FLAG_ROW.findall(README)}

    assert documented == {flag.value: "on" if shipped else "off" for flag, shipped in AS_SHIPPED.items()}


def test_every_decision_is_linked_when_readme_lists_them() -> None:
    for decision in sorted((ROOT / "docs" / "adr").glob("*.md")):
        assert f"({decision.relative_to(ROOT).as_posix()})" in README


def test_processes_are_those_of_the_procfile_when_readme_lists_them() -> None:
    started = [line.partition(":")[0] for line in (ROOT / "Procfile").read_text().splitlines() if ":" in line]

    assert list(table("Without containers")) == started
