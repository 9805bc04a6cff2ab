"""The templates by name, and what forms and files ask of them: is it right, and what will be sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import orjson

from eventcenter.registry import SCHEMA_DIRECTORY
from eventcenter.schemas import load_schemas
from subscriptions import webhook_rules
from subscriptions.channels.base import Field
from subscriptions.templating.catalog.custom import CUSTOM
from subscriptions.templating.catalog.github import GITHUB
from subscriptions.templating.catalog.gitlab import GITLAB
from subscriptions.templating.catalog.jenkins import JENKINS
from subscriptions.templating.catalog.pagerduty import PAGERDUTY
from subscriptions.templating.catalog.plain import PLAIN
from subscriptions.templating.catalog.slack import SLACK
from subscriptions.templating.compiling import Compiled, compile_params
from subscriptions.templating.errors import TemplateError
from subscriptions.templating.model import Credentials, Params, Template

TEMPLATES: dict[str, Template] = {
    template.name: template for template in (GITHUB, GITLAB, JENKINS, SLACK, PAGERDUTY, PLAIN, CUSTOM)
}
SAMPLE_TYPE = "plugin.release.published"
MASK = "********"
HOOK_URL = "hook_url"  # among an endpoint's credentials: a URL that is itself a secret


def compile_template(name: str, params: Params, credentials: Credentials) -> Compiled:
    """Raises TemplateError."""
    template = TEMPLATES.get(name)
    if template is None:
        raise TemplateError(f"there is no template {name!r}; there are {', '.join(TEMPLATES)}")
    return compile_params(template, params, credentials)


def check_url(template: Template, url: str) -> str | None:
    """What is wrong with an endpoint's URL, in words; None when the template can be sent there."""
    return webhook_rules.check_url(url) or template.url.check(url)


def keep_url(template: Template | None, url: str) -> tuple[str, dict[str, str]]:
    """(Endpoint.url, what goes to its credentials). A URL that is itself a secret is sealed; its host is left to be shown."""
    if template is None or not template.url.is_secret or not url:
        return url, {}
    return webhook_rules.origin(url), {HOOK_URL: url}


def check_params(template: Template, params: Params, credentials: Credentials) -> dict[str, str]:
    """What is wrong, in words, by parameter (secret ones too); "" is the key of what no single one is to blame for.

    A template with words of the admin's own is also rendered for a sample of each event type: one must come out.
    """
    known = {field.name: field for field in template.fields}
    problems = {name: f"{template.label} has no such parameter" for name in {*params, *credentials} - known.keys()}
    for field in template.fields:
        given = credentials.get(field.name) if field.kind == "secret" else params.get(field.name)
        problem = _check_value(field, given, field.name in template.long_fields)
        if problem:
            problems[field.name] = problem
    return problems or _check_rendering(template, params, credentials)


def _check_value(field: Field, given: object, is_written: bool) -> str | None:
    if given is None or given == "":
        return "is needed" if field.required and not field.default else None
    if is_written:
        return None if isinstance(given, str | dict | list) else "must be a text"
    if not isinstance(given, str | int | float | bool):
        return "must be a single value"
    text = str(given)
    if field.choices and text not in field.choices:
        return f"must be one of {', '.join(field.choices)}"
    return field.check(text) if field.check else None


def _check_rendering(template: Template, params: Params, credentials: Credentials) -> dict[str, str]:
    first: TemplateError | None = None
    try:
        compiled = compile_params(template, params, credentials)
    except TemplateError as error:
        return {error.field: str(error)}
    for event in sample_events().values():
        try:
            compiled.render(event)
        except TemplateError as error:
            first = first or error
        else:
            return {}
    return {min(template.long_fields, default=""): f"with a sample event: {first}"}


@cache
def sample_events() -> dict[str, bytes]:
    """By type, an event as its schema's example has it, in structured JSON; that of a release first."""
    found = sorted(load_schemas(SCHEMA_DIRECTORY), key=lambda item: item.type != SAMPLE_TYPE)
    return {item.type: orjson.dumps(_sample(item.type, item.schema["examples"][0])) for item in found}


def _sample(event_type: str, data: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": "019a53a1-7bff-7c4e-8f11-5a2d6b7e8c90",
        "source": "/pipelines/release",
        "type": event_type,
        "subject": "payments-gateway",
        "time": "2025-11-05T12:00:00Z",
        "datacontenttype": "application/json",
        "tenant": "acme",
        "tags": "production,payments",
        "data": data,
    }


def preview(
    template: Template, params: Params, event: bytes | Mapping[str, object] | None = None
) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body as they would go out for `event` (None: a sample release), every secret as MASK.

    The signature's headers and the endpoint's own are not among them. Raises TemplateError.
    """
    masked = {field.name: MASK for field in template.fields if field.kind == "secret"}
    compiled = compile_params(template, params, masked)
    body = sample_events()[SAMPLE_TYPE] if event is None else event
    return list(compiled.headers), compiled.render(body if isinstance(body, bytes) else orjson.dumps(body))
