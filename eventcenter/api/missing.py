"""What is answered where no view is: below /internal/ a program asks, and gets problem+json."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from eventcenter.problems import PROBLEM_JSON, Problem

ROOT = "/internal/"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404`."""
    if not request.path.startswith(ROOT):
        return defaults.page_not_found(request, exception)
    return _answer(Problem(HTTPStatus.NOT_FOUND, "not-found", "There is no such object."))


def failed(request: HttpRequest) -> HttpResponse:
    """`handler500`."""
    if not request.path.startswith(ROOT):
        return defaults.server_error(request)
    detail = "This is our fault, and was noted."
    return _answer(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-server-error", detail))


def _answer(problem: Problem) -> HttpResponse:
    return JsonResponse(problem.body(), status=problem.status_code, content_type=PROBLEM_JSON)
