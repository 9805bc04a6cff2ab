"""Child processes that cannot outlive us: started, recorded, watched, stopped, and found again after a crash.

A child ends with its parent even when the parent is killed (Linux's parent death signal), and whatever slips through
is ended by the next start of the same directory: each child's pid and start time are on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.stack.account import Account

PR_SET_PDEATHSIG = 1
KILL_WAIT_S = 5.0
POLL_S = 0.02

_libc = ctypes.CDLL(None, use_errno=True)
# The parent death signal is sent when the *thread* that forked ends, so every fork happens on one thread that lives
# as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack-spawner")


@dataclass(frozen=True)
class Command:
    """What to run. `death_signal` is what the child gets when we die without stopping it."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path = Path("/")
    # Where the standard output goes when not to the log.
    output: int | None = None
    account: Account | None = None
    death_signal: signal.Signals = signal.SIGKILL


class Child:
    """One named process whose output goes to `logs/NAME.log` and whose identity to `pids/NAME.json` of a directory."""

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.log = home / "logs" / f"{name}.log"
        self._record = home / "pids" / f"{name}.json"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def spawn(self, command: Command) -> None:
        """Starts the process; the log is begun anew, the former one is kept as NAME.log.1."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        # Kept by the spawning thread itself: a signal that interrupts us while we wait for it must not lose the child.
        _spawner.submit(self._spawn, command).result()

    def _spawn(self, command: Command) -> None:
        with self.log.open("wb") as log:
            self._process = _popen(command, log.fileno())
        write_record(self._record, self._process.pid)

    def exit_code(self) -> int | None:
        """None while it runs; also None when it was never started."""
        return self._process.poll() if self._process else None

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None when it still runs after `timeout_s`."""
        if self._process is not None:
            _wait(self._process, timeout_s)
        return self.exit_code()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = KILL_WAIT_S) -> bool:
        """Asks with `number`, kills what is left after `timeout_s`; False when it had to be killed."""
        if self._process is None:
            return True
        family = descendants(self._process.pid)
        self.send(number)
        polite = _wait(self._process, timeout_s)
        if not polite:
            self._process.kill()
            self._process.wait()
        end_all(family)
        self._record.unlink(missing_ok=True)
        return polite

    def kill(self) -> None:
        """SIGKILL to the process and all that it started, as a crash would end them."""
        self.stop(signal.SIGKILL)


def _popen(command: Command, log: int) -> subprocess.Popen[bytes]:
    account = command.account
    parent = os.getpid()
    return subprocess.Popen(
        list(command.argv),
        env=dict(command.env),
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=log if command.output is None else command.output,
        stderr=log,
        # Ctrl-C reaches the supervisor only, which then stops its children in order.
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=lambda: _die_with(parent, command.death_signal),
    )


def _die_with(parent: int, number: int) -> None:
    """Runs in the child after it changed user: a change of user clears the death signal."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel to send this process `number` when the process that started it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    return process.poll() is not None


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def end_all(processes: list[psutil.Process]) -> None:
    """Waits a moment for processes that are ending by themselves, then kills what is left."""
    _, alive = psutil.wait_procs(processes, timeout=1.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=KILL_WAIT_S)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Polls until `condition()` holds; False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def identity(pid: int) -> str | None:
    """A text that no other process has had since this installation booted; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # Field 22 is the start time; the fields are counted from behind the command's closing bracket, which may hold
    # anything.
    return f"{boot}/{stat.rpartition(')')[2].split()[19]}"


def write_record(path: Path, pid: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": pid, "identity": identity(pid)}))


def end_leftovers(home: Path) -> list[str]:
    """Ends the processes that a crashed run of this directory left, and names them. The directory must be locked."""
    ended = []
    for record in sorted((home / "pids").glob("*.json")):
        if _end_recorded(record):
            ended.append(record.stem)
        record.unlink(missing_ok=True)
    return ended


def _end_recorded(record: Path) -> bool:
    try:
        known = json.loads(record.read_text())
        process = psutil.Process(known["pid"])
        same = known["identity"] is not None and known["identity"] == identity(process.pid)
        # A zombie is dead already; whoever inherited it has not asked for its exit code yet.
        if not same or process.status() == psutil.STATUS_ZOMBIE:
            return False
        family = [process, *process.children(recursive=True)]
    except (ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    end_all(family)
    return True
