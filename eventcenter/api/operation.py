"""One operation of the API: who may call it, and what the document says of it. Both from the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from eventcenter.access.roles import Permission
from eventcenter.api.shapes import Fields, ProblemDetails, Query
from eventcenter.problems import PROBLEM_JSON

F = TypeVar("F", bound=Callable[..., Any])
NEEDS = "x-permissions"

PROBLEMS = {
    400: "Something in the call is wrong; `errors` names each field.",
    401: "No valid identity.",
    403: "It can be seen, but not done, with this identity.",
    404: "There is no such object, or it is not yours to see.",
    409: "The present state does not allow it; `detail` says why.",
    411: "A chunked body.",
    412: "If-Match names another version than the present one.",
    413: "The body is too large.",
    415: "Another media type than those that are taken.",
    422: "An event type that is not registered; nothing was accepted.",
    428: "If-Match is missing.",
    429: "One of these is on its way; Retry-After says when to try again.",
    503: "The database is away; Retry-After says when to try again.",
}
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="The ETag that a GET answered. Without it: 428.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that you have: 304 when it is still right."
)


def operation(
    name: str,
    *needs: Permission,
    answer: type[Fields] | Fields | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    body: type[Fields] | None = None,
    query: type[Query] | None = None,
    refusals: Sequence[int] = (),
    tagged: bool = False,
    matched: bool = False,
    repeats: bool = False,
    examples: Sequence[OpenApiExample] = (),
) -> Callable[[F], F]:
    """`needs`: one of these permissions lets in. `tagged`: the answer has an ETag. `matched`: the call takes If-Match.
    `repeats`: done again, it answers 200 with what is there already.

    What every operation may answer besides (400, 401 …) is added by eventcenter.api.document.
    """
    parameters: list[Any] = [query()] if query else []
    parameters += [IF_MATCH] if matched else []
    if tagged:
        parameters.append(_header("ETag", status, "Of this version of the object."))
        parameters += [IF_NONE_MATCH] if not body and not matched else []
    documented = _answers(answer, [status, HTTPStatus.OK] if repeats else [status], refusals)

    def made(view: F) -> F:
        view.needs = needs  # type: ignore[attr-defined]
        return extend_schema(
            operation_id=name,
            summary=name.replace("_", " ").capitalize(),
            description=_described(view, needs),
            parameters=parameters,
            request=body,
            responses=documented,
            extensions={NEEDS: [str(need) for need in needs]},
            examples=list(examples),
        )(view)

    return made


def _answers(answer: Any, statuses: Sequence[HTTPStatus], refusals: Sequence[int]) -> dict[Any, Any]:
    found: dict[Any, Any] = {status.value: answer or OpenApiResponse(description="Done.") for status in statuses}
    return found | {(code, PROBLEM_JSON): problem_response(code) for code in refusals}


def _described(view: Callable[..., Any], needs: Sequence[Permission]) -> str:
    words = " or ".join(f"`{need.value}`" for need in needs)
    return f"{inspect.getdoc(view) or ''}\n\nTakes the permission {words}.".strip()


def problem_response(code: int) -> OpenApiResponse:
    return OpenApiResponse(ProblemDetails, description=PROBLEMS[code])


def _header(name: str, status: HTTPStatus, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, response=[status.value], description=description)
