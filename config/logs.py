"""What is kept out of the log."""

from __future__ import annotations

import logging

from django.http import HttpRequest


class WithoutQuery(logging.Filter):
    """Django adds the request to its records, and thereby its query: a sign-in's code, or what somebody searched for."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            record.request = f"{request.method} {request.path}"
        return True
