from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.stack.child import Child, Command, end_leftovers, identity, wait_until, write_record
from config.stack.supervisor import FIRST_RESTART_S, LONGEST_RESTART_S, SETTLED_AFTER_S, Backoff, Supervisor

WAIT_S = 20.0
SLEEPER = Command([sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
DEAF = Command(
    [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
    ],
    os.environ,
)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child(tmp_path, "part")
    yield made
    made.kill()


def test_child_stops_when_asked(child: Child) -> None:
    child.spawn(SLEEPER)
    assert child.stop()
    assert child.exit_code() == -signal.SIGTERM


def test_child_is_killed_when_it_does_not_listen(child: Child) -> None:
    child.spawn(DEAF)
    assert wait_until(lambda: child.log.read_text() == "1\n", WAIT_S)
    assert not child.stop(timeout_s=0.1)
    assert child.exit_code() == -signal.SIGKILL


def test_child_lives_on_when_the_thread_that_started_it_ends(child: Child) -> None:
    thread = threading.Thread(target=child.spawn, args=(SLEEPER,))
    thread.start()
    thread.join()
    assert child.wait(0.2) is None


def test_last_log_is_kept_when_started_again(child: Child) -> None:
    for text in ("first", "second"):
        child.spawn(Command([sys.executable, "-c", f"print('{text}')"], os.environ))
        assert child.wait(WAIT_S) == 0
    assert child.log.read_text() == "second\n"
    assert child.log.with_suffix(".log.1").read_text() == "first\n"


def test_leftover_is_ended_by_its_record(tmp_path: Path, child: Child) -> None:
    child.spawn(SLEEPER)
    assert end_leftovers(tmp_path) == ["part"]
    assert wait_until(lambda: not child.is_running(), WAIT_S)
    assert end_leftovers(tmp_path) == []


def test_other_process_is_spared_when_it_has_a_leftovers_pid(tmp_path: Path, child: Child) -> None:
    child.spawn(SLEEPER)
    assert child.pid is not None
    (tmp_path / "pids" / "part.json").write_text(json.dumps({"pid": child.pid, "identity": "another boot/1"}))
    assert end_leftovers(tmp_path) == []
    assert child.is_running()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', '{"pid": "x", "identity": null}'])
def test_damaged_record_is_dropped(tmp_path: Path, text: str) -> None:
    record = tmp_path / "pids" / "part.json"
    write_record(record, os.getpid())
    record.write_text(text)
    assert end_leftovers(tmp_path) == []
    assert not record.exists()


def test_identity_tells_processes_apart(child: Child) -> None:
    child.spawn(SLEEPER)
    assert child.pid is not None
    assert identity(child.pid) != identity(os.getpid())
    assert identity(os.getpid()) == identity(os.getpid())


def test_supervisor_starts_again_what_died(child: Child) -> None:
    said: list[str] = []
    supervisor = Supervisor({child: SLEEPER}, [], said.append)
    supervisor.start()
    first = child.pid
    assert first is not None
    psutil.Process(first).kill()

    def looked() -> bool:
        supervisor.look()
        return child.is_running() and child.pid != first

    assert wait_until(lambda: not child.is_running(), WAIT_S)
    assert wait_until(looked, WAIT_S)
    supervisor.stop()
    assert said[0] == "part ended (exit code -9); starts again in 1 s"
    assert said[-1] == "part was started again"
    assert not child.is_running()


def test_wait_grows_to_its_limit_and_falls_back_when_settled() -> None:
    backoff = Backoff()
    backoff.started(0.0)
    waits = [backoff.died(1.0) for _ in range(8)]
    assert waits[:3] == [FIRST_RESTART_S, 2 * FIRST_RESTART_S, 4 * FIRST_RESTART_S]
    assert waits[-1] == LONGEST_RESTART_S
    backoff.started(100.0)
    assert backoff.died(100.0 + SETTLED_AFTER_S + 1) == FIRST_RESTART_S
