"""The API's OpenAPI document: what holds for every operation, put in once; and where it is served."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from eventcenter.access.roles import PUBLISH_KEY_PERMISSIONS
from eventcenter.api.operation import NEEDS, PROBLEMS
from eventcenter.problems import PROBLEM_JSON

METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM_CONTENT = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
ENUM_ID = "x-spec-enum-id"
ROOT = "/internal/events/"


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's postprocessing hook: refusals that any operation may answer, identities with their scopes, tags."""
    for path, methods in result["paths"].items():
        for method, found in methods.items():
            if method in METHODS:
                _add_refusals(path, found)
                _add_identities(found)
                found["tags"] = [path.removeprefix(ROOT).partition("/")[0]]
    _drop(result, ENUM_ID)
    return result


def _drop(part: Any, name: str) -> None:
    """A mark that drf-spectacular leaves for a hook of its own."""
    if isinstance(part, dict):
        part.pop(name, None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _drop(inner, name)


def _add_refusals(path: str, found: dict[str, Any]) -> None:
    responses = found["responses"]
    headers = {item["name"] for item in found.get("parameters", ()) if item["in"] == "header"}
    takes_query = any(item["in"] == "query" for item in found.get("parameters", ()))
    codes = [503]
    codes += [401, 403] if any(found.get("security", ())) else []
    codes += [400] if takes_query or "requestBody" in found else []
    codes += [404] if takes_query or "requestBody" in found or "{" in path else []
    codes += [411, 413, 415] if "requestBody" in found else []
    codes += [412, 428] if "If-Match" in headers else []
    for code in codes:
        responses.setdefault(str(code), {"description": PROBLEMS[code]})
    if "If-None-Match" in headers:
        responses["304"] = {"description": "It is still the version that If-None-Match names."}
    for code, response in responses.items():
        if code[0] in "45" and "content" not in response:
            response["content"] = PROBLEM_CONTENT
    found["responses"] = dict(sorted(responses.items()))


def _add_identities(found: dict[str, Any]) -> None:
    """OpenAPI 3.1: of a scheme that is not OAuth's, the list names the roles that it takes."""
    needs = found.pop(NEEDS, None)
    if not needs:
        return
    keys: list[dict[str, list[str]]] = [{"apiKey": [need]} for need in needs]
    signed: list[dict[str, list[str]]] = [{"publishKey": []}] if PUBLISH_KEY_PERMISSIONS.intersection(needs) else []
    found["security"] = [*keys, *signed, {"session": []}]


@cache
def document() -> dict[str, Any]:
    """The same for everybody: it holds nothing of a tenant."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@cache
def _rendered(kind: str) -> bytes:
    renderer = OpenApiJsonRenderer() if kind == "json" else OpenApiYamlRenderer()
    return bytes(renderer.render(document()))


def as_json(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_rendered("json"), content_type="application/vnd.oai.openapi+json")


def as_yaml(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_rendered("yaml"), content_type="application/vnd.oai.openapi")


class Docs(SpectacularSwaggerSplitView):
    """The interactive page. Its script is a file of its own, so that the Content-Security-Policy allows none in the page."""

    authentication_classes = ()
    permission_classes = ()
    url_name = "openapi"
    template_name = "api/docs.html"
    title = "Event Center API"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        answer = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        assert isinstance(answer, Response)
        answer["Cache-Control"] = "private, no-store"  # the script holds the visitor's CSRF token
        return answer
