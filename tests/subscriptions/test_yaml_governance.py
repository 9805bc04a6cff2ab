"""The subscriptions file's keys for channels, templates, limits, retries and order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import AuditEntry
from subscriptions.models import Endpoint, Subscription, Tenant
from subscriptions.routing import open_credentials
from subscriptions.yaml_sync import read
from tests.subscriptions.test_yaml_sync import ACTOR, ENVIRON, apply, endpoint_data, file_data, problems_of, sync

BROKER = {"url": "amqps://ops:${TOKEN}@rabbit.example.com/", "exchange": "releases"}
WHERE = "tenants[0].endpoints[0]"


def channel_data(channel: str, settings: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"slug": "sink", "channel": channel, "settings": settings, "subscriptions": []} | values


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        (channel_data("pigeon", {}, url="https://x.example.com"), "channel: takes one of webhook, kafka"),
        (channel_data("kafka", {}), "settings.topic: is missing"),
        (channel_data("kafka", {"topic": "a", "colour": 1}), "settings.colour: is not a setting of this channel"),
        (channel_data("kafka", {"topic": "no topic"}), "settings.topic: a topic's name is"),
        (channel_data("kafka", {"topic": ["a"]}), "settings.topic: takes text"),
        (channel_data("kafka", {"topic": "${NOPE}"}), "settings.topic: the environment variable NOPE is not set"),
        (
            channel_data("kafka", {"topic": "a"}, url="https://x"),
            "url: is for webhooks; the channel kafka has settings",
        ),
        (channel_data("console", {}, content_mode="binary"), "content_mode: means nothing to the channel console"),
        (channel_data("amqp", BROKER | {"persistent": "yes"}), "settings.persistent: takes true or false"),
        (channel_data("console", {"severity": "loud"}), "settings.severity: takes one of event, critical"),
        (endpoint_data(settings={"topic": "a"}), "settings.topic: is not a setting of this channel; those are: none"),
        (endpoint_data(template="telegram"), "template: takes one of github"),
        (endpoint_data(template_params={"text": "x"}), "template_params: is for a template; none is named"),
        (endpoint_data(template="slack"), "url: the host must be hooks.slack.com"),
        (
            endpoint_data(template="plain", template_params={"colour": "red"}),
            "template_params.colour: Plain webhook has no such parameter",
        ),
        (endpoint_data(rate_limit=0), "rate_limit: takes a number from 0.01 to 100000"),
        (endpoint_data(max_in_flight=401), "max_in_flight: takes a whole number from 1 to 400"),
        (endpoint_data(max_in_flight=2.5), "max_in_flight: takes a whole number"),
        (endpoint_data(lane="left"), "lane: takes one of fast, slow"),
    ],
)
def test_problem_names_its_path_when_a_setting_is_wrong(endpoint: dict[str, Any], problem: str) -> None:
    found = problems_of(file_data(endpoint))
    assert [line[: len(f"{WHERE}.{problem}")] for line in found] == [f"{WHERE}.{problem}"]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("subscription", "problem"),
    [
        ({"retry_policy": "often"}, "retry_policy: takes one of standard, quick, patient"),
        ({"retry_policy": {"schedule_s": ["5s"]}}, "retry_policy.schedule_s: begins with 0"),
        ({"retry_policy": {"max_age_s": "soon"}}, "retry_policy.max_age_s: takes seconds"),
        ({"retry_policy": {"retries": 3}}, "retry_policy.retries: is not a field of a retry policy"),
        ({"ordering": "strict"}, "ordering: takes one of none, block, skip"),
    ],
)
def test_problem_names_its_path_when_retries_or_order_are_wrong(subscription: dict[str, Any], problem: str) -> None:
    item = {"slug": "releases", "types": ["plugin.release.published"]} | subscription
    where = f"{WHERE}.subscriptions[0].{problem}"
    assert [found[: len(where)] for found in problems_of(file_data(endpoint_data(subscriptions=[item])))] == [where]


@pytest.mark.django_db
def test_channel_endpoint_is_made_sealed_and_without_signing_secret() -> None:
    data = channel_data("amqp", BROKER, rate_limit=5, max_in_flight=2, lane="slow")
    assert apply(data)[1] == "+ endpoint acme/sink  amqp exchange releases, key (none)"
    made = Endpoint.objects.get()
    assert (made.channel, made.url, made.config) == ("amqp", "", {"exchange": "releases", "persistent": True})
    assert open_credentials(made) == {"url": "amqps://ops:s3cret-token@rabbit.example.com/"}
    assert (made.rate_limit, made.max_in_flight, made.lane) == (5.0, 2, "slow")
    assert not made.secrets.exists()
    assert apply(data) == ["0 added, 0 changed, 0 removed, 2 unchanged"]
    assert "s3cret" not in json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))


@pytest.mark.django_db
def test_plan_names_changed_settings_and_shows_no_secret_and_no_variable() -> None:
    apply(channel_data("amqp", BROKER | {"routing_key": "a"}))
    other = {"url": "amqps://ops:n3w@rabbit.example.com/", "exchange": "others", "routing_key": "${TOKEN}"}
    plan = apply(channel_data("amqp", other, rate_limit=7))
    assert plan[:-1] == [
        "~ endpoint acme/sink",
        "    + rate_limit: 7",
        "    - settings.exchange: releases",
        "    + settings.exchange: others",
        "    ~ settings.routing_key: changed, value not shown",
        "    ~ settings.url: changed, value not shown",
    ]
    said = str(plan) + json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))
    assert "n3w" not in said
    assert "s3cret" not in said
    assert open_credentials(Endpoint.objects.get()) == {"url": other["url"]}


@pytest.mark.django_db
def test_new_endpoint_is_announced_without_a_variables_value() -> None:
    assert apply(channel_data("kafka", {"topic": "${TOKEN}"}))[1] == "+ endpoint acme/sink  kafka://bus/${TOKEN}"
    assert Endpoint.objects.get().config["topic"] == "s3cret-token"


@pytest.mark.django_db
def test_channel_can_change_and_a_webhook_gets_its_secret_then() -> None:
    apply(channel_data("console", {}))
    endpoint = Endpoint.objects.get()
    assert not endpoint.secrets.exists()
    plan = apply(endpoint_data(slug="sink"))
    assert plan[:4] == [
        "~ endpoint acme/sink",
        "    - channel: console",
        "    + channel: webhook",
        "    + url: ${HOOKS}/ci-cd",
    ]
    assert endpoint.secrets.count() == 1


@pytest.mark.django_db
def test_template_is_kept_with_its_parameters_and_secrets() -> None:
    url = "https://api.github.com/repos/acme/site/dispatches"
    params = {"token": "${TOKEN}", "event_type": "release"}
    data = endpoint_data(url=url, template="github", template_params=params)
    apply(data)
    made = Endpoint.objects.get()
    assert (made.template, made.template_params) == ("github", {"event_type": "release"})
    assert open_credentials(made) == {"token": "s3cret-token"}
    assert apply(data)[0].startswith("0 added, 0 changed")
    plan = apply(endpoint_data(url=url, template="github", template_params={"event_type": "published"}))
    assert plan[:4] == [
        "~ endpoint acme/ci-cd",
        "    - template_params.event_type: release",
        "    + template_params.event_type: published",
        "    ~ template_params.token: removed",
    ]
    assert open_credentials(Endpoint.objects.get()) == {}


@pytest.mark.django_db
def test_own_mapping_may_be_written_as_yaml() -> None:
    mapping = {"plugin": "{{ event.data.plugin_id }}", "tags": ["{{ event.type }}"]}
    apply(endpoint_data(template="custom", template_params={"mapping": mapping}))
    assert Endpoint.objects.get().template_params == {"mapping": mapping}


@pytest.mark.django_db
def test_retry_policy_and_order_are_kept_and_shown_as_a_diff() -> None:
    item: dict[str, Any] = {"slug": "releases", "types": ["plugin.release.published"]}
    apply(endpoint_data(subscriptions=[item | {"retry_policy": "standard"}]))
    assert Subscription.objects.get().retry_policy is None
    policy = {"name": "quick", "schedule_s": [0, "5s", "1m"], "max_age_s": "30m"}
    changed = endpoint_data(subscriptions=[item | {"retry_policy": policy, "ordering": "block"}])
    assert apply(changed)[:5] == [
        "~ subscription acme/releases",
        "    - ordering: none",
        "    + ordering: block",
        "    - retry_policy: {name: standard}",
        "    + retry_policy: {name: quick, schedule_s: [0, 5, 60], max_age_s: 1800}",
    ]
    row = Subscription.objects.get()
    assert (row.retry_policy, row.ordering) == (
        {"name": "quick", "schedule_s": [0.0, 5.0, 60.0], "max_age_s": 1800.0},
        "block",
    )
    assert apply(changed) == ["0 added, 0 changed, 0 removed, 3 unchanged"]


@pytest.mark.django_db
def test_rate_limit_of_a_tenant_follows_the_file() -> None:
    data = file_data()
    data["tenants"][0]["rate_limit"] = 50
    sync(read(data, ENVIRON), ACTOR)
    assert Tenant.objects.get().rate_limit == 50.0
    assert apply()[:2] == ["~ tenant acme", "    - rate_limit: 50"]
    assert Tenant.objects.get().rate_limit is None
