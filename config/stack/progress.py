"""Lines for the person at the terminal, each with the seconds since the start."""

from __future__ import annotations

import time


class Progress:
    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)

    @staticmethod
    def plain(text: str) -> None:
        print(text, flush=True)
