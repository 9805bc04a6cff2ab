"""The guides' programs, run as a reader runs them: in a directory of their own, told everything by the environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "docs" / "guides" / "programs"
TIMEOUT_S = 30
REFUSED, TRY_LATER = 1, 75  # how a publishing program ends when the event was not taken
PUBLISH = {"python": [sys.executable, "publish.py"], "node": ["node", "publish.mjs"], "shell": ["sh", "publish.sh"]}
SERVE = {"python": [sys.executable, "receive.py"], "node": ["node", "receive.mjs"]}
VERIFY = ["sh", "verify.sh", "headers.txt", "body"]


@dataclass(frozen=True)
class Programs:
    """One language's, copied to `home`."""

    language: str
    home: Path

    def publish(self, event: Mapping[str, object], url: str, key: str, secret: str) -> subprocess.CompletedProcess[str]:
        (self.home / "event.json").write_text(json.dumps(event, ensure_ascii=False), encoding="utf-8")
        env = {"EVENT_CENTER_URL": url, "PUBLISH_KEY": key, "PUBLISH_SECRET": secret}
        return self._run([*PUBLISH[self.language], "event.json"], env)

    def verify(self, secret: str, headers: Mapping[str, str], body: bytes) -> int:
        """The shell's: of a request that was stored. Returns how it ended."""
        (self.home / "headers.txt").write_text("".join(f"{name}: {value}\r\n" for name, value in headers.items()))
        (self.home / "body").write_bytes(body)
        return self._run(VERIFY, {"WEBHOOK_SECRET": secret}).returncode

    def _run(self, argv: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.home, env=_env(env), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def kept(self) -> dict[str, bytes]:
        """By webhook-id: the bodies in the inbox."""
        return {path.stem: path.read_bytes() for path in (self.home / "inbox").glob("[!.]*.json")}


class Server:
    """A receiving program. `take` is True for an answer of 204 and False for 401."""

    def __init__(self, programs: Programs, secret: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        env = _env({"WEBHOOK_SECRET": secret, "PORT": str(port)})
        with (programs.home / "receive.log").open("wb") as log:
            argv = SERVE[programs.language]
            self._process = subprocess.Popen(argv, cwd=programs.home, env=env, stdout=log, stderr=log)
        eventually(self._answers, timeout=TIMEOUT_S)

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        status = requests.post(self.url, data=body, headers=headers, timeout=10).status_code
        assert status in (204, 401)
        return status == 204

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            return not self.take({}, b"")
        except requests.ConnectionError:
            return False


class StoredRequests:
    """The same for the shell, which verifies what another server stored."""

    def __init__(self, programs: Programs, secret: str) -> None:
        self._programs, self._secret = programs, secret

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        ended = self._programs.verify(self._secret, headers, body)
        assert ended in (0, 1)
        return ended == 0

    def close(self) -> None:
        """Nothing runs."""


def copied(language: str, home: Path, node_modules: Path | None) -> Programs:
    shutil.copytree(PROGRAMS, home)
    if node_modules is not None:
        (home / "node_modules").symlink_to(node_modules)
    return Programs(language, home)


def _env(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": "", **more}
