"""What the API answers is what its document says, whatever is asked and by whom (schemathesis). New paths come by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, pairwise
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi

from eventcenter.api.document import ROOT, document
from eventcenter.models import EventType
from subscriptions.models import Tenant
from tests.delivery.api import stage
from tests.delivery.api.stage import Headers, Stage, staged

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
]
REFUSING = [openapi.negative_data_rejection, openapi.unsupported_method]
GENERATION = GenerationConfig(deterministic=True, database="none", max_examples=8)
FEW, EDGES_MOST = 3, 25

Case = Any
Check = Callable[..., Any]


class Rolled(Exception):
    """Ends a transaction that is not to last."""


def api() -> Any:
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)))
    loaded = schemathesis.openapi.from_dict(document(), config=config)
    loaded.app = get_wsgi_application()
    return loaded


def operations() -> Iterator[Any]:
    for found in api().get_all_operations():
        yield found.ok()


@pytest.fixture
def prepared(event_types: list[EventType], topic: str) -> Iterator[Stage]:
    """Requests come on the test's own connection, as Django's test client has them: its transaction stays open."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield staged()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def call(case: Case, headers: Headers, checks: list[Check]) -> None:
    """In a transaction that is rolled back: no case sees what another one did."""
    with suppress(Rolled), transaction.atomic():
        case.call_and_validate(headers=headers, checks=checks)
        raise Rolled


def at_objects(case: Case, known: dict[str, str]) -> None:
    """Puts ids that there are into the path; a made-up id is nearly always a 404. Any version will do for If-Match."""
    rooms = case.path.removeprefix(ROOT).split("/")
    for room, part in pairwise(rooms):
        if part.startswith("{") and room in known:
            case.path_parameters[part.strip("{}")] = known[room]
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = "*"


def fuzz(
    operation: Any,
    headers: Headers,
    mode: GenerationMode,
    known: dict[str, str],
    checks: list[Check],
    examples: int = FEW,
) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        at_objects(case, known)
        call(case, headers, checks)

    run()


def test_every_answer_to_an_admin_is_in_the_document(prepared: Stage, subtests: pytest.Subtests) -> None:
    headers = stage.admin_key(prepared.tenant)
    for operation in operations():
        with subtests.test(operation=operation.label):
            fuzz(operation, headers, GenerationMode.POSITIVE, prepared.known, CHECKS)
            fuzz(operation, headers, GenerationMode.NEGATIVE, {}, [*CHECKS, openapi.negative_data_rejection])


@pytest.mark.parametrize("who", [stage.viewer, stage.viewer_key, stage.nobody])
def test_every_answer_to_others_is_in_the_document(
    prepared: Stage, who: Callable[[Tenant], Headers], subtests: pytest.Subtests
) -> None:
    headers = who(prepared.tenant)
    for operation in operations():
        with subtests.test(operation=operation.label):
            fuzz(operation, headers, GenerationMode.POSITIVE, prepared.known, CHECKS, examples=1)


def test_edges_of_every_operation_are_answered_as_the_document_says(prepared: Stage, subtests: pytest.Subtests) -> None:
    """Limits, missing and unknown members, other methods: one by one, systematically."""
    headers = stage.platform_admin(prepared.tenant)
    for operation in operations():
        with subtests.test(operation=operation.label):
            for case in edges(operation):
                call(case, headers, [*CHECKS, *REFUSING])


def edges(operation: Any) -> Iterator[Case]:
    cases = operation.schema.iter_coverage_cases(
        operation, generation_modes=list(GenerationMode), generation_config=GENERATION
    )
    return islice(cases, EDGES_MOST)
