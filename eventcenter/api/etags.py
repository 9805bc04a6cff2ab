"""Strong entity tags, from the answer itself: nobody changes what they have not seen (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

import orjson
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.problems import Problem

ANY = "*"


def etag_of(body: object) -> str:
    return f'"{hashlib.sha256(orjson.dumps(body, default=str)).hexdigest()[:32]}"'


def one(request: Request, body: object, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """An object with its tag; 304 without it to a GET that has it already."""
    tag = etag_of(body)
    if request.method in ("GET", "HEAD") and _names(request.headers.get("If-None-Match", ""), tag, weak=True):
        return Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    return Response(body, status=status, headers={"ETag": tag, **headers})


def require_match(request: Request, body: object) -> None:
    """`body`: what a GET would answer now, read under the row's lock. Raises Problem 428 or 412."""
    wanted = request.headers.get("If-Match", "")
    if not wanted:
        detail = "Send If-Match with the ETag that a GET of the object answers, so that no other change is lost."
        raise Problem(HTTPStatus.PRECONDITION_REQUIRED, "precondition-required", detail)
    if not _names(wanted, etag_of(body), weak=False):
        detail = "The object was changed since then, or If-Match has no ETag of it: read it again."
        raise Problem(HTTPStatus.PRECONDITION_FAILED, "precondition-failed", detail)


def _names(header: str, tag: str, *, weak: bool) -> bool:
    tags = parse_etags(header)
    return ANY in tags or tag in tags or (weak and f"W/{tag}" in tags)
