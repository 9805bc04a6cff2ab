"""The form of the log: JSON lines, for our own records and for those of gunicorn, Celery and Django.

Without settings: gunicorn's master has none when it begins to log (config/gunicorn.py).
"""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest

from eventcenter import log_context

SERVED = "event_center.serving"  # where request_context leaves the request's Serving in its META


class InContext(logging.Filter):
    """Adds what the record's process and request are; what the record says itself stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django's line about an answer comes when the request's context has been left: it brings the request.
        request = getattr(record, "request", None)
        served = request.META.get(SERVED) if isinstance(request, HttpRequest) else None
        for name, value in log_context.fields(served).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class WithoutQuery(logging.Filter):
    """Django adds the request to its records, and thereby its query: a sign-in's code, or what somebody searched for."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            record.request = f"{request.method} {request.path}"
        return True


def logging_config(level: str) -> dict[str, Any]:
    """For logging.config.dictConfig."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "%(levelname)s %(name)s %(message)s",
                "timestamp": "time",  # ISO 8601, UTC, microseconds
                "rename_fields": {"levelname": "level", "name": "logger", "message": "event"},
            }
        },
        "filters": {
            "in_context": {"()": "config.logs.InContext"},
            "without_query": {"()": "config.logs.WithoutQuery"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["in_context", "without_query"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # A line a task would be a line a batch of deliveries, which says nothing that the tables do not.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
        },
    }
