"""The endpoint's pages: the channel first, then a form of that channel's settings and the template's parameters."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from subscriptions.channels.registry import SPECS
from subscriptions.models import Channel, Endpoint, Tenant
from subscriptions.routing import delivery_settings, open_credentials
from subscriptions.services import seal_credentials
from subscriptions.templating import TEMPLATES
from tests.factories import EndpointFactory, SuperuserFactory, TenantFactory

pytestmark = pytest.mark.django_db
ADD = "admin:subscriptions_endpoint_add"
NO_SECRETS = {"secrets-TOTAL_FORMS": "0", "secrets-INITIAL_FORMS": "0"}
BROKER = "amqps://ops:s3cret@rabbit.example.com/"
SLACK_URL = "https://hooks.slack.com/services/T000/B000/XXXX"
SETTINGS: dict[str, dict[str, str]] = {
    "kafka": {"settings.cluster": "bus", "settings.topic": "acme-releases", "settings.key": "subject"},
    "amqp": {"settings.url": BROKER, "settings.exchange": "releases", "settings.persistent": "on"},
    "pagerduty": {"settings.routing_key": "s3cret" + "0" * 26, "settings.severity": "event", "settings.region": "eu"},
    "console": {"settings.severity": "warning"},
}
KEPT = {
    "kafka": {"cluster": "bus", "topic": "acme-releases", "key": "subject"},
    "amqp": {"exchange": "releases", "persistent": True},
    "pagerduty": {"severity": "event", "region": "eu"},
    "console": {"severity": "warning"},
}


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(SuperuserFactory(username="eva"))
    return client


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


def form(**values: str) -> dict[str, Any]:
    return {"slug": "sink", "timeout_s": "10", "lane": "fast", "content_mode": "structured"} | NO_SECRETS | values


def add(ops: Client, tenant: Tenant, query: str, **values: str) -> Any:
    return ops.post(f"{reverse(ADD)}?{query}", form(tenant=str(tenant.pk), **values), follow=True)


def change_url(endpoint: Endpoint, query: str = "") -> str:
    return reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk]) + query


def errors(response: Any) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors) if "adminform" in (response.context or {}) else {}


def seen(ops: Client) -> str:
    """What the trail, the history and the endpoint's page say."""
    said = json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))
    history = " ".join(LogEntry.objects.values_list("change_message", flat=True))
    return said + history + ops.get(change_url(Endpoint.objects.get())).content.decode()


def test_channel_is_asked_for_first(ops: Client) -> None:
    text = ops.get(reverse(ADD)).content.decode()
    for channel in Channel:
        assert f'href="?channel={channel.value}"' in text
    for name in TEMPLATES:
        assert f"?channel=webhook&amp;template={name}" in text
    assert "How does it get its events?" in ops.get(reverse(ADD), {"channel": "pigeon"}).content.decode()


@pytest.mark.parametrize("channel", Channel.values)
def test_form_has_the_fields_of_its_channel(ops: Client, channel: str) -> None:
    shown = ops.get(reverse(ADD), {"channel": channel}).context["adminform"].form.fields
    expected = {f"settings.{field.name}" for field in SPECS[Channel(channel)].fields}
    assert {name for name in shown if name.startswith("settings.")} == expected
    assert ("url" in shown, "new_headers" in shown) == (channel == "webhook",) * 2


@pytest.mark.parametrize("channel", SETTINGS)
def test_endpoint_is_made_with_its_channels_settings(ops: Client, acme: Tenant, channel: str) -> None:
    response = add(ops, acme, f"channel={channel}", rate_limit="25", max_in_flight="4", **SETTINGS[channel])
    assert errors(response) == {}
    made = Endpoint.objects.get()
    assert (made.channel, made.url, made.config) == (channel, "", KEPT[channel])
    assert (made.rate_limit, made.max_in_flight) == (25.0, 4)
    secret = {name[9:]: value for name, value in SETTINGS[channel].items() if "s3cret" in value}
    assert open_credentials(made) == secret
    assert AuditEntry.objects.get().action == "endpoint.created"
    assert AuditEntry.objects.get().details["channel"] == [None, channel]
    assert "s3cret" not in seen(ops)


def test_only_webhooks_get_a_signing_secret(ops: Client, acme: Tenant) -> None:
    response = add(ops, acme, "channel=kafka", **SETTINGS["kafka"])
    assert "whsec_" not in response.content.decode()
    assert not Endpoint.objects.get().secrets.exists()
    data = {"action": "rotate_selected", "_selected_action": [Endpoint.objects.get().pk]}
    text = ops.post(reverse("admin:subscriptions_endpoint_changelist"), data, follow=True).content.decode()
    assert "has no signing secrets" in text
    assert not Endpoint.objects.get().secrets.exists()


@pytest.mark.parametrize(
    ("channel", "change", "field", "words"),
    [
        ("kafka", {"settings.topic": ""}, "settings.topic", "This field is required"),
        ("kafka", {"settings.topic": "no topic"}, "settings.topic", "A topic's name is"),
        ("amqp", {"settings.url": ""}, "settings.url", "This field is required"),
        ("amqp", {"settings.url": "https://s3cret@x"}, "settings.url", "The URL must begin with amqps://"),
        ("console", {"settings.severity": "loud"}, "settings.severity", "Select a valid choice"),
        ("kafka", {"rate_limit": "0"}, "rate_limit", "greater than or equal to 0.01"),
        ("kafka", {"max_in_flight": "401"}, "max_in_flight", "less than or equal to 400"),
        ("webhook", {"url": ""}, "url", "This field is required"),
    ],
)
def test_endpoint_is_refused_at_its_field_when_a_setting_is_wrong(
    ops: Client, acme: Tenant, channel: str, change: dict[str, str], field: str, words: str
) -> None:
    response = add(ops, acme, f"channel={channel}", **(SETTINGS.get(channel, {}) | change))
    found = errors(response)
    assert list(found) == [field]
    assert words in found[field][0]
    assert "s3cret" not in response.content.decode()
    assert not Endpoint.objects.exists()
    assert not AuditEntry.objects.exists()


def test_secret_setting_stays_when_its_field_is_left_empty(ops: Client, acme: Tenant) -> None:
    endpoint = EndpointFactory(
        tenant=acme, slug="sink", channel="amqp", url="", sealed_credentials=seal_credentials({"url": BROKER})
    )
    text = ops.get(change_url(endpoint)).content.decode()
    assert "It is set; leave it empty to keep it." in text
    assert "s3cret" not in text
    ops.post(change_url(endpoint), form(**{"settings.exchange": "other"}))
    endpoint.refresh_from_db()
    assert (endpoint.config["exchange"], open_credentials(endpoint)) == ("other", {"url": BROKER})
    ops.post(change_url(endpoint), form(**{"settings.exchange": "other", "settings.url": "amqp://n3w@x"}))
    endpoint.refresh_from_db()
    assert open_credentials(endpoint) == {"url": "amqp://n3w@x"}
    entry = AuditEntry.objects.latest("id")
    assert entry.details["fields"] == ["settings.url"]
    assert "n3w" not in seen(ops)


def test_template_asks_for_its_parameters_and_keeps_those_that_differ(ops: Client, acme: Tenant) -> None:
    query, text = "channel=webhook&template=slack", TEMPLATES["slack"].fields[0].default
    add(ops, acme, query, url=SLACK_URL, **{"template_params.text": text.replace("\n", "\r\n")})
    made = Endpoint.objects.get()
    assert (made.template, made.template_params) == ("slack", {})
    assert AuditEntry.objects.get(action="endpoint.created").details["template"] == [None, "slack"]
    ops.post(change_url(made), form(url=SLACK_URL, **{"template_params.text": "{{ event.type }}"}))
    made.refresh_from_db()
    assert (made.template, made.template_params) == ("slack", {"text": "{{ event.type }}"})


def test_slack_hooks_url_is_sealed_and_only_its_host_is_shown(ops: Client, acme: Tenant) -> None:
    text = {"template_params.text": "{{ event.type }}"}
    assert errors(add(ops, acme, "channel=webhook&template=slack", url=SLACK_URL, **text)) == {}
    made = Endpoint.objects.get()
    assert (made.url, open_credentials(made)) == ("https://hooks.slack.com/…", {"hook_url": SLACK_URL})
    assert delivery_settings.reload().sinks[made.pk].url == SLACK_URL
    shown = ops.get(change_url(made)).content.decode()
    assert "It is set; leave it empty to keep it." in shown
    lists = ops.get(reverse("admin:subscriptions_endpoint_changelist")).content.decode()
    assert "T000/B000" not in seen(ops) + lists

    ops.post(change_url(made), form(url="", name="Chat", **text))
    made.refresh_from_db()
    assert (made.name, open_credentials(made)) == ("Chat", {"hook_url": SLACK_URL})
    assert "url" not in AuditEntry.objects.latest("id").details["fields"]
    other = SLACK_URL.replace("XXXX", "YYYY")
    ops.post(change_url(made), form(url=other, name="Chat", **text))
    made.refresh_from_db()
    assert open_credentials(made) == {"hook_url": other}
    assert AuditEntry.objects.latest("id").details["fields"] == ["url"]
    assert "T000/B000" not in seen(ops)


def test_slack_hooks_url_does_not_come_back_on_a_page_with_errors(ops: Client, acme: Tenant) -> None:
    values = {"url": SLACK_URL, "timeout_s": "99", "new_headers": "authorization: Bearer s3cret"}
    response = add(ops, acme, "channel=webhook&template=slack", **values)
    assert {"timeout_s", "new_headers"} <= errors(response).keys()
    assert "Enter them again" in errors(response)["new_headers"][0]
    assert "T000/B000" not in response.content.decode()
    assert "s3cret" not in response.content.decode()


def test_slack_hooks_url_is_needed_when_another_template_is_chosen(ops: Client, acme: Tenant) -> None:
    add(ops, acme, "channel=webhook&template=slack", url=SLACK_URL, **{"template_params.text": "x"})
    made = Endpoint.objects.get()
    assert list(errors(ops.post(change_url(made, "?template="), form(url="")))) == ["url"]
    ops.post(change_url(made, "?template="), form(url="https://hooks.example.com/x"))
    made.refresh_from_db()
    assert (made.url, made.sealed_credentials) == ("https://hooks.example.com/x", None)
    assert delivery_settings.reload().sinks[made.pk].url == "https://hooks.example.com/x"


def test_slack_hooks_urls_of_before_are_sealed_and_opened_again_by_the_migration(acme: Tenant) -> None:
    migration = importlib.import_module("subscriptions.migrations.0006_seal_hook_urls")
    slack = EndpointFactory(tenant=acme, template="slack", url=SLACK_URL)
    other = EndpointFactory(tenant=acme, url="https://hooks.example.com/x")
    for _ in range(2):  # a second time it changes nothing
        migration.seal_urls(apps, None)
        slack.refresh_from_db()
        assert (slack.url, open_credentials(slack)) == ("https://hooks.slack.com/…", {"hook_url": SLACK_URL})
    migration.open_urls(apps, None)
    slack.refresh_from_db()
    assert (slack.url, slack.sealed_credentials) == (SLACK_URL, None)
    other.refresh_from_db()
    assert (other.url, other.sealed_credentials) == ("https://hooks.example.com/x", None)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"url": "https://hooks.example.com/x"}, "url", "The host must be hooks.slack.com"),
        ({"template_params.text": "{{ event.type"}, "template_params.text", "text"),
        ({"template_params.text": "{% include 'x' %}"}, "template_params.text", "text"),
    ],
)
def test_endpoint_is_refused_when_it_does_not_fit_its_template(
    ops: Client, acme: Tenant, change: dict[str, str], field: str, words: str
) -> None:
    values = {"url": SLACK_URL, "template_params.text": "{{ event.type }}"} | change
    found = errors(add(ops, acme, "channel=webhook&template=slack", **values))
    assert list(found) == [field]
    assert words in found[field][0]
    assert not Endpoint.objects.exists()


def test_secrets_of_one_template_do_not_follow_to_another(ops: Client, acme: Tenant) -> None:
    gitlab, params = "https://gitlab.com/api/v4/projects/7/trigger/pipeline", {"template_params.ref": "main"}
    assert list(errors(add(ops, acme, "channel=webhook&template=gitlab", url=gitlab, **params))) == [
        "template_params.token"
    ]
    token = {"template_params.token": "s3cret"}
    assert errors(add(ops, acme, "channel=webhook&template=gitlab", url=gitlab, **params, **token)) == {}
    made = Endpoint.objects.get()
    assert open_credentials(made) == {"token": "s3cret"}
    github = "https://api.github.com/repos/acme/site/dispatches"
    page = ops.get(change_url(made, "?template=github")).content.decode()
    assert "It is set" not in page
    values = {"url": github, "template_params.event_type": "released"}
    assert errors(ops.post(change_url(made, "?template=github"), form(**values), follow=True)) == {}
    made.refresh_from_db()
    assert (made.template, made.template_params) == ("github", {"event_type": "released"})
    assert open_credentials(made) == {}
    assert AuditEntry.objects.latest("id").details["template"] == ["gitlab", "github"]


def test_template_is_taken_off_with_its_parameters_and_secrets(ops: Client, acme: Tenant) -> None:
    sealed = seal_credentials({"token": "s3cret"})
    endpoint = EndpointFactory(tenant=acme, template="github", template_params={"a": "b"}, sealed_credentials=sealed)
    url = "https://hooks.example.com/x"
    assert errors(ops.post(change_url(endpoint, "?template="), form(url=url), follow=True)) == {}
    endpoint.refresh_from_db()
    assert (endpoint.url, endpoint.template, endpoint.template_params) == (url, "", {})
    assert endpoint.sealed_credentials is None


def test_optional_secret_is_removed_when_that_is_ticked(ops: Client, acme: Tenant) -> None:
    url = "https://api.github.com/repos/acme/site/dispatches"
    endpoint = EndpointFactory(
        tenant=acme, url=url, template="github", sealed_credentials=seal_credentials({"token": "s3cret"})
    )
    kept = {"url": url, "template_params.event_type": "release"}
    ops.post(change_url(endpoint), form(**kept))
    endpoint.refresh_from_db()
    assert open_credentials(endpoint) == {"token": "s3cret"}
    ops.post(change_url(endpoint), form(**kept, **{"remove.token": "on"}))
    endpoint.refresh_from_db()
    assert endpoint.sealed_credentials is None
    assert endpoint.template_params == {"event_type": "release"}


def test_channel_stays_when_the_address_names_another(ops: Client, acme: Tenant) -> None:
    endpoint = EndpointFactory(tenant=acme, channel="console", url="", config={"severity": "info"})
    ops.post(change_url(endpoint, "?channel=kafka"), form(**{"settings.severity": "critical"}))
    endpoint.refresh_from_db()
    assert (endpoint.channel, endpoint.config) == ("console", {"severity": "critical"})


def test_list_says_where_deliveries_go(ops: Client, acme: Tenant) -> None:
    EndpointFactory(tenant=acme, channel="kafka", url="", config={"topic": "releases"})
    assert "kafka://bus/releases" in ops.get(reverse("admin:subscriptions_endpoint_changelist")).content.decode()


def test_rate_limit_of_a_tenant_is_kept_and_audited(ops: Client, acme: Tenant) -> None:
    page = reverse("admin:subscriptions_tenant_change", args=[acme.pk])
    ops.post(page, {"name": acme.name, "active": "on", "rate_limit": "50"})
    acme.refresh_from_db()
    assert acme.rate_limit == 50.0
    assert AuditEntry.objects.get().details["rate_limit"] == [None, 50.0]


def test_row_is_locked_before_its_form_is_judged(client: Client, django_assert_max_num_queries: Any) -> None:
    """Else what the system decided meanwhile would be set back by what the form read before."""
    client.force_login(SuperuserFactory())
    url = reverse("admin:subscriptions_endpoint_change", args=[EndpointFactory().pk])
    with django_assert_max_num_queries(200) as asked:
        client.post(url, {"slug": "-"})
    of_row = [query["sql"] for query in asked.captured_queries if 'FROM "subscriptions_endpoint"' in query["sql"]]
    assert "FOR UPDATE" in of_row[0]
