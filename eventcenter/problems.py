"""RFC 9457 problem details: every error of the HTTP API is one, with each wrong field named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from eventcenter.cipher import UnsealError
from eventcenter.log_context import serving

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:event-center:problem:"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. `index` is the event's place in a batch, from 0; None where there is no batch."""

    field: str
    message: str
    index: int | None = None


class Problem(exceptions.APIException):
    """An expected refusal: `kind` names it for programs (urn:event-center:problem:<kind>), `detail` for people."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status_code = status.value
        self.kind = kind
        self.errors = errors
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """The problem+json object; `errors` only where fields are named. `request_id` is an extension member (RFC 9457 §3.2):
        what to name when asking why, and to look for in the log."""
        body: dict[str, object] = {
            "type": TYPE_PREFIX + self.kind,
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": str(self.detail),
        }
        if self.errors:
            body["errors"] = [{k: v for k, v in asdict(error).items() if v is not None} for error in self.errors]
        if request_id := serving().request_id:
            body["request_id"] = request_id
        return body


def as_problem(error: Exception) -> Problem | None:
    """None: not an expected refusal (a bug; Django answers 500)."""
    match error:
        case Problem():
            return error
        case Http404():
            return Problem(HTTPStatus.NOT_FOUND, "not-found", "There is no such object.")
        case PermissionDenied():
            return Problem(HTTPStatus.FORBIDDEN, "forbidden", "You may not do this.")
        case exceptions.ValidationError():
            return Problem(HTTPStatus.BAD_REQUEST, "invalid", "Some fields are wrong.", _field_errors(error.detail))
        case OperationalError() | InterfaceError():
            logger.error("api.database_away", exc_info=error)
            detail = "The database is away; nothing was accepted. Try again."
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"Retry-After": "5"})
        case UnsealError():
            logger.error("api.secret_unreadable", extra={"why": str(error)})
            detail = "A stored secret cannot be opened until an operator restores its key; nothing was accepted."
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"Retry-After": "60"})
        case exceptions.APIException():
            status = HTTPStatus(error.status_code)
            return Problem(status, status.phrase.lower().replace(" ", "-"), str(error.detail))
    return None


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER."""
    problem = as_problem(error)
    if problem is None:
        return None
    headers = dict(problem.headers)
    if problem.status_code == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", getattr(error, "auth_header", "StandardWebhooks"))
    return Response(problem.body(), status=problem.status_code, headers=headers, content_type=PROBLEM_JSON)


def _field_errors(detail: Any, path: str = "") -> list[FieldError]:
    if isinstance(detail, dict):
        return [found for key, value in detail.items() for found in _field_errors(value, f"{path}.{key}".strip("."))]
    if isinstance(detail, list) and detail and isinstance(detail[0], (dict, list)):
        return [found for number, value in enumerate(detail) for found in _field_errors(value, f"{path}[{number}]")]
    messages = detail if isinstance(detail, list) else [detail]
    return [FieldError(path or "body", str(message)) for message in messages]
