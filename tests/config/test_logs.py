"""The log is events with fields: one line of JSON each, a dotted name that never changes, and nothing that may be secret."""

from __future__ import annotations

import ast
import json
import logging
import logging.config
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from config.access_log import JsonLogger
from config.logs import logging_config
from eventcenter import log_context

ROOT = Path(__file__).parents[2]
APPS = ("audit", "config", "delivery", "eventcenter", "subscriptions")
METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
NAME = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")


def logger_calls(source: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in ("logger", "logging"):
                yield node


def is_event(message: ast.expr) -> bool:
    """A literal of the right form, or a name that somebody else gave one: put together is what it must not be."""
    if isinstance(message, ast.Constant):
        return isinstance(message.value, str) and bool(NAME.fullmatch(message.value))
    return isinstance(message, (ast.Name, ast.Attribute))


SOURCES = [path for app in APPS for path in sorted((ROOT / app).rglob("*.py"))]


def test_every_log_line_is_a_named_event_when_our_code_writes_it() -> None:
    found = [(path, call) for path in SOURCES for call in logger_calls(path)]
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, call in found
        if len(call.args) != 1
        or not is_event(call.args[0])
        or not {keyword.arg for keyword in call.keywords} <= {"extra", "exc_info"}
    ]
    assert len(found) > 50
    assert wrong == []


@pytest.mark.parametrize("line", ['logger.info("a.b", x)', 'logger.info(f"a.{x}")', 'logger.info("Words here")'])
def test_line_is_found_when_it_is_no_event(line: str) -> None:
    [call] = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    assert len(call.args) != 1 or not is_event(call.args[0])


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test may set the log up as a process does; the run's own set-up comes back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(log_context, "_role", "web")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(written: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.splitlines()]


def test_line_has_time_level_logger_event_and_role_when_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(logging_config("INFO"))
    logging.getLogger("delivery.sweep").warning("sweep.redis_forgot", extra={"count": 3})
    logging.getLogger("celery.app.trace").info("a task was done")

    [line] = lines(capsys.readouterr().err)
    at = datetime.fromisoformat(str(line.pop("time")))
    assert at.utcoffset() == timedelta()
    assert line == {
        "level": "WARNING",
        "logger": "delivery.sweep",
        "event": "sweep.redis_forgot",
        "count": 3,
        "role": "web",
    }


@pytest.mark.parametrize("asked", [True, False])
def test_requests_line_has_neither_query_nor_header_when_gunicorn_writes_it(
    capsys: pytest.CaptureFixture[str], asked: bool
) -> None:
    config = Config()
    config.set("accesslog", "-" if asked else None)
    log = JsonLogger(config)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/deliveries",
        "RAW_URI": "/deliveries?q=secret",
        "REMOTE_ADDR": "::1",
    }
    environ |= {"QUERY_STRING": "q=secret", "HTTP_REFERER": "secret", "HTTP_AUTHORIZATION": "Bearer secret"}
    answer = SimpleNamespace(status="200 OK", headers=[("X-Request-ID", "r-1"), ("Set-Cookie", "secret")])

    log.info("Booting worker with pid: %s", 7)
    log.access(answer, None, environ, timedelta(milliseconds=12))

    text = capsys.readouterr().err
    written = lines(text)
    assert "secret" not in text
    assert written[0]["event"] == "Booting worker with pid: 7"
    assert [line["event"] for line in written[1:]] == (["http.request"] if asked else [])
    if asked:
        shown = {name: written[1][name] for name in ("method", "path", "status", "duration_ms", "client", "request_id")}
        assert shown == {
            "method": "GET",
            "path": "/deliveries",
            "status": 200,
            "duration_ms": 12,
            "client": "::1",
            "request_id": "r-1",
        }
