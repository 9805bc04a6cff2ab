"""From an HTTP request to checked envelopes, or to the one problem that names everything wrong with it."""

from __future__ import annotations

from http import HTTPStatus

from rest_framework.request import Request

from eventcenter.envelope import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    V1_BATCH_CONTENT_TYPE,
    V1_CONTENT_TYPE,
    Envelope,
    EnvelopeError,
    FieldProblem,
    in_v1_words,
    parse_batch,
    parse_binary,
    parse_structured,
    parse_v1,
    parse_v1_batch,
)
from eventcenter.problems import FieldError, Problem
from eventcenter.publishing import find_problems
from eventcenter.schemas import SchemaSet

MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_BATCH_EVENTS = 1_000
# Well below the 1 MB that Kafka takes in one message by default; CloudEvents asks consumers for 64 KiB at least.
MAX_EVENT_BYTES = 512 * 1024
MAX_ERRORS_TOLD = 100  # enough to mend a batch by; a hostile one does not get a longer answer than its own size

_SINGLES = {STRUCTURED_CONTENT_TYPE: parse_structured, V1_CONTENT_TYPE: parse_v1}
_BATCHES = {BATCH_CONTENT_TYPE: parse_batch, V1_BATCH_CONTENT_TYPE: parse_v1_batch}


def refuse_oversize(request: Request) -> None:
    """Raises Problem 413 (or 411 where no length was given), by the announced length."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() and request.META.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(
            HTTPStatus.LENGTH_REQUIRED, "length-required", "Send a Content-Length; chunked bodies are not taken."
        )
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise _too_large(f"The body has {length} bytes; at most {MAX_BODY_BYTES} are taken.")


def read_events(request: Request, tenant: str, schemas: SchemaSet) -> list[Envelope]:
    """The request's events, each found right for `tenant`. Raises Problem 400, 413, 415 or 422."""
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    try:
        envelopes = _parse(media_type, request)
    except EnvelopeError as error:
        raise _invalid(error.problems) from None
    if len(envelopes) > MAX_BATCH_EVENTS:
        raise _too_large(f"The batch has {len(envelopes)} events; at most {MAX_BATCH_EVENTS} are taken.")
    try:
        _refuse_wrong_events(envelopes, tenant, schemas, media_type in _BATCHES)
    except Problem as problem:
        raise _in_v1_words(problem) if media_type in (V1_CONTENT_TYPE, V1_BATCH_CONTENT_TYPE) else problem from None
    return envelopes


def _parse(media_type: str, request: Request) -> list[Envelope]:
    if media_type in _BATCHES:
        return _BATCHES[media_type](request.body)
    if media_type in _SINGLES:
        return [_SINGLES[media_type](request.body)]
    if "ce-specversion" in request.headers:
        return [parse_binary(request.headers, request.body)]
    taken = f"{', '.join((*_SINGLES, *_BATCHES))}, or any type with ce-* headers (binary mode)"
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        f"Got {media_type or 'no media type'!r}; takes {taken}.",
    )


def _refuse_wrong_events(envelopes: list[Envelope], tenant: str, schemas: SchemaSet, batch: bool) -> None:
    _refuse_large_events(envelopes, batch)
    _refuse_unknown_types(envelopes, schemas, batch)
    _refuse_wrong_fields(envelopes, tenant, schemas, batch)


def _in_v1_words(problem: Problem) -> Problem:
    told = (in_v1_words(FieldProblem(error.field, error.message, error.index)) for error in problem.errors)
    problem.errors = [FieldError(each.field, each.message, each.index) for each in told]
    return problem


def _refuse_large_events(envelopes: list[Envelope], batch: bool) -> None:
    message = f"has more than {MAX_EVENT_BYTES} bytes"
    large = [index for index, envelope in enumerate(envelopes) if len(envelope.data) > MAX_EVENT_BYTES]
    if large:
        errors = [FieldError("data", message, index if batch else None) for index in large]
        detail = "An event's data is too large; nothing was accepted."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail, errors[:MAX_ERRORS_TOLD])


def _refuse_unknown_types(envelopes: list[Envelope], schemas: SchemaSet, batch: bool) -> None:
    errors = [
        FieldError("type", f"{envelope.type!r} is not a registered event type.", index if batch else None)
        for index, envelope in enumerate(envelopes)
        if not schemas.knows(envelope.type)
    ]
    if errors:
        detail = "An event type is not registered; nothing was accepted."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "unknown-type", detail, errors[:MAX_ERRORS_TOLD])


def _refuse_wrong_fields(envelopes: list[Envelope], tenant: str, schemas: SchemaSet, batch: bool) -> None:
    errors = [
        FieldError(problem.field, problem.message, index if batch else None)
        for index, envelope in enumerate(envelopes)
        for problem in find_problems(envelope, tenant, schemas)
    ]
    if errors:
        foreign = any(error.field == "tenant" for error in errors)
        status, kind = (
            (HTTPStatus.FORBIDDEN, "foreign-tenant") if foreign else (HTTPStatus.BAD_REQUEST, "invalid-event")
        )
        raise Problem(status, kind, "Some fields are wrong; nothing was accepted.", errors[:MAX_ERRORS_TOLD])


def _invalid(problems: list[FieldProblem]) -> Problem:
    errors = [FieldError(problem.field, problem.message, problem.index) for problem in problems[:MAX_ERRORS_TOLD]]
    return Problem(HTTPStatus.BAD_REQUEST, "invalid-event", "Some fields are wrong; nothing was accepted.", errors)


def _too_large(detail: str) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail)
