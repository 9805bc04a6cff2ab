"""Each template against its service's documented request, see services.py."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given, settings

from subscriptions.templating import TEMPLATES, Compiled, TemplateError, compile_template, sample_events
from tests.subscriptions.templating.events import ANY_EVENT, RELEASES, event, release
from tests.subscriptions.templating.services import CHECKERS, CREDENTIALS, URLS

NAMES = sorted(CHECKERS)


def compiled(name: str, **params: object) -> Compiled:
    return compile_template(name, params, CREDENTIALS[name])


def check(name: str, made: Compiled, body: bytes) -> None:
    CHECKERS[name](URLS[name], dict(made.headers), body)


def test_every_service_has_a_checker() -> None:
    assert set(TEMPLATES) - {"custom"} == set(CHECKERS)


@pytest.mark.parametrize("name", NAMES)
def test_request_is_what_the_service_takes_for_each_sample_event(name: str) -> None:
    made = compiled(name)
    for sample in sample_events().values():
        check(name, made, made.render(sample))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("plugin", "version"), RELEASES)
def test_request_carries_the_release(name: str, plugin: str, version: str) -> None:
    made = compiled(name)
    body = made.render(release(plugin, version))
    check(name, made, body)
    found = parse_qs(body.decode())["variables[EVENT_DATA]"][0] if name == "gitlab" else body.decode()
    assert plugin in found
    assert version in found


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(body=ANY_EVENT)
def test_request_is_well_formed_or_refused_whatever_the_event_holds(name: str, body: bytes) -> None:
    made = compiled(name)
    try:
        rendered = made.render(body)
    except TemplateError as error:
        refusal = (name, error.problem)
    else:
        check(name, made, rendered)
        return
    # An event's type has at most 512 characters.
    assert refusal == ("github", "the text is longer than 100 characters")


def test_github_keeps_the_data_as_it_is() -> None:
    request = json.loads(compiled("github").render(event({"n": 1, "list": [True, None, 1.5]})))
    assert request["event_type"] == "plugin.release.published"
    assert request["client_payload"]["data"] == {"n": 1, "list": [True, None, 1.5]}


def test_github_takes_an_event_type_of_its_own() -> None:
    made = compiled("github", event_type="release-{{ event.data.channel }}")
    assert json.loads(made.render(release("torch", "2.5.1")))["event_type"] == "release-stable"


def test_github_refuses_an_event_that_is_larger_than_it_takes() -> None:
    with pytest.raises(TemplateError, match="63999"):
        compiled("github").render(event({"notes": "x" * 64_000}))


def test_github_sends_no_authorization_when_there_is_no_token() -> None:
    assert "authorization" not in dict(compile_template("github", {}, {}).headers)


def test_gitlab_variables_are_those_of_the_release() -> None:
    body = compiled("gitlab", ref="release/1.x").render(release("torch", "2.5.1+cu124", severity="security"))
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert form["token"] == "glptt-example"
    assert form["ref"] == "release/1.x"
    assert form["variables[PLUGIN_ID]"] == "torch"
    assert form["variables[PLUGIN_VERSION]"] == "2.5.1+cu124"
    assert form["variables[PLUGIN_SEVERITY]"] == "security"
    assert form["variables[PLUGIN_ARTIFACT_URL]"].startswith("https://artifacts.acme.example/torch/")
    assert "variables[PLUGIN_COMMIT]" not in form
    assert json.loads(form["variables[EVENT_DATA]"])["plugin_id"] == "torch"


def test_jenkins_token_is_in_a_header_and_not_in_the_body() -> None:
    made = compiled("jenkins")
    assert dict(made.headers)["token"] == "jenkins-example"
    assert b"jenkins-example" not in made.render(release("torch", "2.5.1"))


def test_slack_says_what_was_released() -> None:
    body = compiled("slack").render(
        release("torch", "2.5.1", severity="critical", changelog_url="https://acme.example/log?a=1&b=2")
    )
    assert json.loads(body)["text"] == (
        "*torch 2.5.1* was released to stable in acme by eva.zhang@acme.example (critical)\n"
        "<https://acme.example/log?a=1&amp;b=2|What changed>"
    )


def test_slack_values_cannot_mention_anybody() -> None:
    text = json.loads(compiled("slack").render(release("torch", "2", released_by="<!channel> & <@U1>")))["text"]
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in text
    in_a_link = json.loads(compiled("slack").render(release("torch", "2", changelog_url="!channel")))["text"]
    assert "<" not in in_a_link
    alone = compiled("slack", text="{{ event.data.released_by }}")
    assert json.loads(alone.render(release("torch", "2", released_by="<!here>")))["text"] == "&lt;!here&gt;"


def test_slack_text_is_cut_where_slack_would_cut_it() -> None:
    made = compiled("slack", text="{{ event.data.notes }}")
    assert len(json.loads(made.render(event({"notes": "ä" * 50_000})))["text"]) == 40_000


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("critical", "critical"), ("security", "error"), ("important", "warning"), ("normal", "info"), (None, "info")],
)
def test_pagerduty_severity_follows_the_release(severity: str | None, expected: str) -> None:
    alert = json.loads(compiled("pagerduty").render(release("torch", "2", severity=severity)))
    assert alert["payload"]["severity"] == expected


def test_pagerduty_summary_is_cut_and_the_event_names_the_alert() -> None:
    made = compiled("pagerduty", summary="{{ event.data.notes }}", severity="warning")
    body = made.render(event({"notes": "x" * 2000}, id="i" * 512))
    check("pagerduty", made, body)
    alert = json.loads(body)
    assert len(alert["payload"]["summary"]) == 1024
    assert alert["payload"]["severity"] == "warning"
    assert alert["dedup_key"] == "i" * 255
    assert alert["links"] == []


def test_plain_is_the_event_without_the_envelope() -> None:
    made = compiled("plain")
    assert json.loads(made.render(release("torch", "2"))) == {
        "id": "019a53a1-7bff-7c4e-8f11-5a2d6b7e8c90",
        "type": "plugin.release.published",
        "source": "/pipelines/release",
        "subject": "payments-gateway",
        "timestamp": "2025-11-05T12:00:00Z",
        "tenant": "acme",
        "data": orjson.loads(release("torch", "2"))["data"],
    }
