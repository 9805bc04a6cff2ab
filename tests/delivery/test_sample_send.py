"""Test-send: a sample event through the endpoint's own channel, by page and by command."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from audit.trail import Actor
from delivery.models import Attempt, Delivery
from delivery.outcome import ErrorKind, OutcomeKind
from delivery.sample_send import CannotSendError, sample_event, sample_types, send_test
from eventcenter.access.models import Membership
from eventcenter.access.roles import Role
from eventcenter.envelope import parse_structured
from eventcenter.models import Event, EventType
from eventcenter.registry import schemas
from eventcenter.standardwebhooks import decode_secret, sign
from subscriptions.models import Endpoint, EndpointSecret, EndpointState
from subscriptions.services import add_secret, seal_headers
from tests.factories import EndpointFactory, SuperuserFactory, UserFactory
from tests.fakes.receiver import Answer, Receiver, redirect

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = Actor("system:test")


@pytest.fixture
def endpoint(event_types: list[EventType], receiver: Receiver) -> Endpoint:
    return EndpointFactory(
        tenant__slug="acme",
        slug="ci-cd",
        url=receiver.url("/ci-cd"),
        sealed_headers=seal_headers([("x-team", "ops")]),
    )


def test_sample_goes_out_signed_marked_and_with_the_endpoints_own_headers(
    endpoint: Endpoint, receiver: Receiver
) -> None:
    secret = add_secret(endpoint, ACTOR)
    receiver.script("/ci-cd", Answer(200, body=b"thanks"))
    sent = send_test(endpoint, ACTOR)
    assert sent.is_delivered
    assert sent.words.startswith("Delivered: 200 in ")
    assert sent.shown_body == "thanks"
    [got] = receiver.wait_for(1)
    assert (got.header("x-event-center-test"), got.header("x-team")) == ("true", "ops")
    envelope = parse_structured(got.body)
    assert (envelope.tenant, envelope.type, envelope.extensions) == ("acme", "plugin.release.published", {"test": True})
    message_id, timestamp = got.header("webhook-id"), got.header("webhook-timestamp")
    assert message_id is not None
    assert timestamp is not None
    assert got.header("webhook-signature") == sign((decode_secret(secret),), message_id, int(timestamp), got.body)


def test_nothing_is_kept_but_the_audit_entry(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.script("/ci-cd", Answer(503, body=b"s3cret"))
    sent = send_test(endpoint, ACTOR, "plugin.release.withdrawn")
    assert sent.outcome.kind is OutcomeKind.THROTTLED
    assert sent.words.startswith("Throttled: answered 503 Service Unavailable in ")
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()
    assert not Attempt.objects.exists()
    entry = AuditEntry.objects.get(chain="acme")
    assert (entry.chain, entry.action, entry.target) == ("acme", "endpoint.test_sent", f"endpoint:{endpoint.pk}")
    expected = {"type": "plugin.release.withdrawn", "outcome": "throttled", "status": 503, "error_kind": "http_status"}
    assert entry.details == expected


def test_error_is_told_when_there_is_no_answer(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.close()
    sent = send_test(endpoint, ACTOR)
    assert (sent.is_delivered, sent.outcome.error_kind) == (False, ErrorKind.CONNECT_REFUSED)
    assert sent.words.startswith("Failed: ")


def test_redirect_is_not_followed(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.script("/ci-cd", redirect(receiver.url("/other")))
    assert "redirects are not followed" in send_test(endpoint, ACTOR).words
    assert [got.path for got in receiver.wait_for(1)] == ["/ci-cd"]


def test_test_goes_out_when_the_endpoint_is_paused(endpoint: Endpoint, receiver: Receiver) -> None:
    Endpoint.objects.update(state=EndpointState.PAUSED)
    assert send_test(endpoint, ACTOR).is_delivered


def test_template_shapes_the_test_and_its_fault_is_told(endpoint: Endpoint, receiver: Receiver) -> None:
    text = {"mapping": '{"plugin": "{{ event.data.plugin_id }}"}'}
    Endpoint.objects.update(template="custom", template_params=text)
    assert send_test(endpoint, ACTOR).is_delivered
    [got] = receiver.wait_for(1)
    assert json.loads(got.body) == {"plugin": "payments-gateway"}
    Endpoint.objects.update(template_params={"mapping": "{{ broken"})
    sent = send_test(endpoint, ACTOR)
    assert (sent.outcome.kind, sent.outcome.error_kind) == (OutcomeKind.PERMANENT, ErrorKind.TEMPLATE)
    assert len(receiver.wait_for(1)) == 1


def test_nothing_goes_out_when_the_signing_secret_cannot_be_read(endpoint: Endpoint, receiver: Receiver) -> None:
    EndpointSecret.objects.create(endpoint=endpoint, sealed_secret=b"lost:0123456789")
    with pytest.raises(CannotSendError, match="unsigned it must not go"):
        send_test(endpoint, ACTOR)
    assert receiver.requests == []
    assert not AuditEntry.objects.filter(chain="acme").exists()


@pytest.mark.parametrize(
    "event_type", ["plugin.release.published", "plugin.release.withdrawn", "event.delivery.failed"]
)
def test_sample_passes_its_own_schema(event_types: list[EventType], event_type: str) -> None:
    assert event_type in sample_types()
    event = parse_structured(sample_event("acme", event_type))
    problems = schemas.get().problems(event.type, None, event.datacontenttype, event.data, "acme")
    assert problems == []


def test_default_sample_is_offered_first(event_types: list[EventType]) -> None:
    assert sample_types()[0] == "plugin.release.published"
    EventType.objects.filter(name="plugin.release.withdrawn").update(active=False)
    assert "plugin.release.withdrawn" not in sample_types()
    with pytest.raises(CannotSendError, match=r"no event type plugin\.release\.withdrawn"):
        sample_event("acme", "plugin.release.withdrawn")


def page_of(endpoint: Endpoint) -> str:
    return reverse("endpoint-test", args=[endpoint.pk])


def test_page_shows_the_answer_and_the_admin_links_to_it(
    endpoint: Endpoint, receiver: Receiver, client: Client
) -> None:
    client.force_login(SuperuserFactory(username="eva"))
    admin_page = client.get(reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk])).content.decode()
    assert f'href="{page_of(endpoint)}"' in admin_page
    assert "plugin.release.withdrawn" in client.get(page_of(endpoint)).content.decode()
    assert receiver.requests == []
    receiver.script("/ci-cd", Answer(400, body=b"<b>which plugin?</b>"))
    text = client.post(page_of(endpoint), {"type": "plugin.release.withdrawn"}).content.decode()
    assert "answered 400 Bad Request" in text
    assert "&lt;b&gt;which plugin?&lt;/b&gt;" in text
    assert AuditEntry.objects.get(chain="acme").actor == "user:eva"
    assert "There is no event type" in client.post(page_of(endpoint), {"type": "a.b"}).content.decode()


def test_page_is_for_those_who_operate_the_tenant(endpoint: Endpoint, receiver: Receiver, client: Client) -> None:
    assert client.get(page_of(endpoint)).status_code == 302
    user = UserFactory(roles=((endpoint.tenant, Role.VIEWER),))
    client.force_login(user)
    assert client.get(page_of(endpoint)).status_code == 403
    assert client.post(page_of(endpoint)).status_code == 403
    assert receiver.requests == []
    Membership.objects.create(user=user, tenant=endpoint.tenant, role=Role.OPERATOR)
    assert client.post(page_of(endpoint)).status_code == 200
    assert len(receiver.wait_for(1)) == 1


def run_command(*args: Any) -> str:
    out = StringIO()
    call_command("test_send", *args, stdout=out)
    return out.getvalue()


def test_command_prints_what_came_of_it(endpoint: Endpoint, receiver: Receiver) -> None:
    assert run_command("acme/ci-cd").startswith("Delivered: 204 in ")
    receiver.script("/ci-cd", Answer(500, body=b"broken"))
    with pytest.raises(CommandError, match=r"(?s)Failed: answered 500 Internal Server Error.*broken"):
        run_command("acme/ci-cd", "--type", "plugin.release.withdrawn")
    with pytest.raises(CommandError, match="no endpoint acme/other"):
        run_command("acme/other")
    assert AuditEntry.objects.filter(actor="system:test_send").count() == 2
