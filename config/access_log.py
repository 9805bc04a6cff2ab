"""gunicorn's own lines as ours: JSON, and of a request neither its query nor a header."""

from __future__ import annotations

import logging.config
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

from config.logs import logging_config

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn says goes through the root logger's handler; its master has no settings, which would set that up."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        level = os.environ.get("LOG_LEVEL", "").strip() or "INFO"
        logging.captureWarnings(True)
        logging.config.dictConfig(logging_config(level if level in LEVELS else "INFO"))
        for each in (self.error_log, self.access_log):
            each.handlers.clear()
            each.propagate = True

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """A line a request, where WEB_ACCESS_LOG asks for it."""
        if self.cfg.accesslog is None:
            return
        headers = {name.lower(): value for name, value in resp.headers}
        self.access_log.info(
            "http.request",
            extra={
                "method": environ.get("REQUEST_METHOD"),
                "path": environ.get("PATH_INFO"),
                "status": int(str(resp.status).split(None, 1)[0]),
                "duration_ms": request_time // timedelta(milliseconds=1),
                "client": environ.get("REMOTE_ADDR"),
                "request_id": headers.get("x-request-id", ""),
            },
        )
