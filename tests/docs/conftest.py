"""Node's package of the guides, installed once into the user's cache; without Node its programs are skipped, loudly."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docs.programs import PROGRAMS

NPM_FLAGS = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
INSTALL_TIMEOUT_S = 60
_reasons: list[str] = []


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """What package-lock.json names. The directory is named by the lock's checksum: other versions go into another."""
    if not (shutil.which("node") and shutil.which("npm")):
        _skip("node or npm is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "event-center"
    home = cache / f"npm-{zlib.crc32((PROGRAMS / 'package-lock.json').read_bytes())}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            _install(Path(draft))
            with suppress(OSError):  # another run was faster
                Path(draft, "work").rename(home)
    return home / "node_modules"


def _install(draft: Path) -> None:
    work = draft / "work"
    work.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PROGRAMS / name, work)
    done = subprocess.run(
        ["npm", "ci", *NPM_FLAGS], cwd=work, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if done.returncode:
        _skip(f"npm ci ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def _skip(reason: str) -> None:
    _reasons.append(reason)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in _reasons:
        terminalreporter.section("NODE PROGRAMS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"docs/guides' programs in Node were skipped: {reason}")
