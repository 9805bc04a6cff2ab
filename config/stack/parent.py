"""Ends `make run` with make. Make forwards SIGTERM to us and dies of SIGKILL without a word (the parent death signal
covers that), but when SIGINT is sent to make alone, not to the terminal's whole process group, it just waits for us."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from config.stack.child import die_with_parent

LOOK_EVERY_S = 0.5
SIGINT_BIT = 1 << (signal.SIGINT - 1)


def end_with_parent() -> None:
    """This process gets SIGTERM when its parent dies, and SIGINT when its parent was interrupted."""
    parent = os.getppid()
    die_with_parent(signal.SIGTERM)
    if _catches_interrupt(parent):
        threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    """Make gives its handler of SIGINT back to the system once it was called; that can be seen from outside."""
    while _catches_interrupt(parent):
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGINT)


def _catches_interrupt(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) & SIGINT_BIT)
