"""What forms and files ask of the templates: URLs, parameters, previews."""

from __future__ import annotations

import json

import pytest

from subscriptions.templating import (
    MASK,
    TEMPLATES,
    MissingSecretError,
    TemplateError,
    check_params,
    check_url,
    compile_template,
    preview,
    sample_events,
)
from tests.subscriptions.templating.services import CREDENTIALS, URLS


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_template_is_complete(name: str) -> None:
    template = TEMPLATES[name]
    assert template.name == name
    assert template.label
    assert template.description
    assert template.answer
    assert template.docs_url.startswith("https://")
    assert check_url(template, template.url.example) is None
    assert len({field.name for field in template.fields}) == len(template.fields)
    assert template.long_fields <= {field.name for field in template.fields}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        *URLS.items(),
        ("github", "https://ghe.acme.example/api/v3/repos/acme/deploy.tools/dispatches"),
        ("gitlab", "https://gitlab.com/api/v4/projects/acme%2Fteam%2Fdeploy/trigger/pipeline"),
        ("gitlab", "http://git.acme.example:8080/gitlab/api/v4/projects/7/trigger/pipeline"),
        ("jenkins", "http://ci.acme.example/jenkins/generic-webhook-trigger/invoke"),
        ("slack", "https://hooks.slack-gov.com/services/T1/B2/x3"),
        ("pagerduty", "https://events.eu.pagerduty.com/v2/enqueue"),
        ("custom", "http://hooks.acme.example/x?y=z"),
    ],
)
def test_url_of_the_service_is_taken(name: str, url: str) -> None:
    assert check_url(TEMPLATES[name], url) is None


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("github", "https://github.com/acme/deploy", "the path does not fit"),
        ("github", "http://api.github.com/repos/acme/deploy/dispatches", "https://"),
        ("github", "https://api.github.com/api/v3/repos/acme/deploy/dispatches", "the path does not fit"),
        ("github", "https://ghe.acme.example/repos/acme/deploy/dispatches", "the path does not fit"),
        ("github", "https://api.github.com/repos/acme/deploy/dispatches?x=1", "no ?"),
        ("gitlab", "https://gitlab.com/acme/deploy", "the path does not fit"),
        ("gitlab", "https://gitlab.com/api/v4/projects/acme/deploy/trigger/pipeline", "the path does not fit"),
        ("gitlab", "https://gitlab.com/api/v4/projects/42/trigger/pipeline?token=x", "no ?"),
        ("jenkins", "https://ci.acme.example/job/deploy/build", "the path does not fit"),
        ("slack", "https://acme.slack.com/services/T1/B2/x3", "the host must be"),
        ("slack", "https://hooks.slack.com/workflows/T1/A2/x3", "the path does not fit"),
        ("pagerduty", "https://api.pagerduty.com/incidents", "the host must be"),
        ("plain", "ftp://hooks.acme.example/", "must begin with"),
        ("custom", "https://user:pw@hooks.acme.example/", "user name"),
    ],
)
def test_url_of_something_else_is_refused_with_the_reason(name: str, url: str, words: str) -> None:
    problem = check_url(TEMPLATES[name], url)
    assert problem is not None
    assert words in problem
    assert "pw" not in problem


@pytest.mark.parametrize("name", sorted(URLS))
def test_defaults_are_enough(name: str) -> None:
    assert check_params(TEMPLATES[name], {}, CREDENTIALS[name]) == {}


@pytest.mark.parametrize(
    ("name", "params", "credentials", "field", "words"),
    [
        ("gitlab", {}, {}, "token", "is needed"),
        ("gitlab", {"ref": "a b"}, {"token": "x"}, "ref", "no name of a branch"),
        ("gitlab", {"ref": ["main"]}, {"token": "x"}, "ref", "single value"),
        ("pagerduty", {}, {"routing_key": "short"}, "routing_key", "32"),
        ("pagerduty", {"severity": "bad"}, {"routing_key": "a" * 32}, "severity", "must be one of"),
        ("jenkins", {}, {"token": "two words"}, "token", "holds a space"),
        ("github", {}, {"token": "a\r\nx-evil: 1"}, "token", "line break"),
        ("github", {"event_type": "x" * 101}, {}, "event_type", "longer than 100"),
        ("github", {"event_type": "{{ event.nope }}"}, {}, "event_type", "event.nope is undefined"),
        ("slack", {"text": "{{ event.data"}, {}, "text", "expected '}}'"),
        ("slack", {"txt": "x"}, {}, "txt", "no such parameter"),
        ("slack", {}, {"token": "x"}, "token", "no such parameter"),
        ("custom", {}, {}, "mapping", "is needed"),
        ("custom", {"mapping": "{"}, {}, "mapping", "line 1, column"),
        ("custom", {"mapping": '{"a": {"b": "{{ nope }}"}}'}, {}, "mapping", "$.a.b: there is no 'nope'"),
        ("custom", {"mapping": '{"a": "{{ event.data.nope }}"}'}, {}, "mapping", "with a sample event: $.a:"),
        ("custom", {"mapping": {"a": 1}, "content_type": "text"}, {}, "content_type", "no media type"),
        ("custom", {"mapping": 5}, {}, "mapping", "must be a text"),
    ],
)
def test_parameters_are_refused_by_name_with_the_reason(
    name: str, params: dict[str, object], credentials: dict[str, str], field: str, words: str
) -> None:
    problems = check_params(TEMPLATES[name], params, credentials)
    assert list(problems) == [field]
    assert words in problems[field]
    assert "evil" not in problems[field]


def test_custom_mapping_may_be_for_another_type_than_a_release() -> None:
    assert check_params(TEMPLATES["custom"], {"mapping": {"a": "{{ event.data.delivery_id }}"}}, {}) == {}


def test_custom_headers_are_as_asked() -> None:
    params = {"mapping": {"a": 1}, "content_type": "application/vnd.acme+json", "accept": "text/plain"}
    headers, body = preview(TEMPLATES["custom"], params)
    assert headers == [("content-type", "application/vnd.acme+json"), ("accept", "text/plain")]
    assert body == b'{"a":1}'


def test_sample_events_are_of_every_type_a_release_first() -> None:
    samples = sample_events()
    assert next(iter(samples)) == "plugin.release.published"
    assert "event.delivery.failed" in samples
    assert all(json.loads(body)["type"] == name for name, body in samples.items())


@pytest.mark.parametrize("name", sorted(URLS))
def test_preview_shows_the_request_without_a_secret(name: str) -> None:
    headers, body = preview(TEMPLATES[name], {})
    shown = f"{headers}{body.decode()}".replace("%2A", "*")
    assert all(secret not in shown for secret in CREDENTIALS[name].values())
    assert (MASK in shown) is bool(CREDENTIALS[name])
    assert "payments-gateway" in shown


def test_preview_takes_an_event_of_any_type() -> None:
    event = json.loads(sample_events()["event.delivery.failed"])
    _, body = preview(TEMPLATES["plain"], {}, event)
    assert json.loads(body)["type"] == "event.delivery.failed"


def test_missing_secret_is_told_apart() -> None:
    with pytest.raises(MissingSecretError) as caught:
        compile_template("gitlab", {}, {})
    assert (caught.value.field, str(caught.value)) == ("token", "token: is needed")


def test_unknown_template_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(TemplateError, match="github, gitlab"):
        compile_template("nope", {}, {})


def test_secrets_are_not_in_what_is_printed() -> None:
    assert "glptt" not in repr(compile_template("gitlab", {}, CREDENTIALS["gitlab"]))
