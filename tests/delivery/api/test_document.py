"""The document itself, and the page that shows it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from eventcenter.access.roles import Permission
from eventcenter.api.document import METHODS, document
from eventcenter.problems import PROBLEM_JSON

URL = "/internal/events/openapi"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, found)
        for path, methods in document()["paths"].items()
        for method, found in methods.items()
        if method in METHODS
    ]


def test_document_is_openapi_3_1_and_has_no_warning(tmp_path: Any) -> None:
    file = tmp_path / "openapi.yaml"
    call_command("spectacular", "--file", str(file), "--validate", "--fail-on-warn")
    assert yaml.safe_load(file.read_text())["openapi"] == "3.1.0"


def test_every_schema_in_it_is_a_json_schema() -> None:
    """OpenAPI 3.1 takes JSON Schema 2020-12 as it is."""
    for schema in document()["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_refusal_is_a_problem() -> None:
    for path, method, found in operations():
        for code, response in found["responses"].items():
            if code[0] in "45":
                assert list(response["content"]) == [PROBLEM_JSON], (path, method, code)


def test_every_operation_names_who_may(subtests: pytest.Subtests) -> None:
    known = {permission.value for permission in Permission}
    for path, method, found in operations():
        with subtests.test(operation=f"{method} {path}"):
            scopes = [scope for way in found.get("security", []) for scope in way.get("apiKey", [])]
            assert set(scopes) <= known
            assert found["operationId"]


def test_operation_ids_are_given_once() -> None:
    ids = [found["operationId"] for _, _, found in operations()]
    assert len(ids) == len(set(ids))


@pytest.mark.django_db
def test_document_is_served_to_everybody_in_both_forms() -> None:
    client = Client()
    made, written = client.get(f"{URL}.json"), client.get(f"{URL}.yaml")
    assert made["Content-Type"] == "application/vnd.oai.openapi+json"
    assert json.loads(made.content) == yaml.safe_load(written.content)


@pytest.mark.django_db
def test_page_has_no_script_in_it_and_its_script_names_the_document() -> None:
    client = Client()
    page = client.get("/internal/events/docs")
    text = page.content.decode()
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert text.count("<script") == text.count('<script src="/') == 2
    assert "<style" not in text
    script = client.get("/internal/events/docs?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert "openapi.json" in script.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["nothing", "subscriptions/x", "deliveries/1", "replays/1/2/3"])
def test_unknown_address_is_a_problem_below_internal(path: str) -> None:
    response = Client().get(f"/internal/events/{path}")
    assert (response.status_code, response["Content-Type"]) == (404, PROBLEM_JSON)
    assert response.json()["type"] == "urn:event-center:problem:not-found"
