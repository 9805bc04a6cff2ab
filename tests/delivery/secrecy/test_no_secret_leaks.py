"""No secret is found in any log line, answer, error, history, trail or output, whatever is done with it."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from audit.trail import Actor
from delivery.alerting.incidents import joined
from delivery.models import Alert, AlertContact, Attempt, Page
from delivery.sample_send import CannotSendError, send_test
from delivery.signing_keys.remind import remind
from eventcenter import data_keys, publishing
from eventcenter.models import ApiKey, PublishKey
from eventcenter.publish_keys import create_publish_key, rotate_publish_key
from subscriptions.models import Channel, Endpoint, EndpointSecret, Signing, Tenant
from subscriptions.routing import delivery_settings
from subscriptions.services import add_secret, rotate_secret, seal_credentials, seal_headers
from tests.delivery.alerting.calls import make_alert
from tests.delivery.secrecy.search import Log, forms, leaks, stored_secrets, tables
from tests.delivery.worker.desk import Desk, Make
from tests.eventcenter.sender import Sender, event
from tests.factories import PASSWORD, EndpointFactory, SubscriptionFactory, SuperuserFactory, TenantFactory
from tests.fakes.receiver import Answer, Raw, Receiver
from tests.tracing import Recorded, recorded

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("event_types", "topic")]
ACTOR = Actor("system:test")
MASTERS = (("m1", b"Unmistakable-master-key-number-1"), ("m2", b"Unmistakable-master-key-number-2"))
HEADER = "Bearer UnmistakableHeaderToken-01"
FORM_HEADER = "Bearer UnmistakableFormHeader-02"
ROUTING_KEY = "UnmistakableRoutingKey0000000003"
BROKER_PASSWORD = "UnmistakableBrokerPassword-04"
HOOK = "UnmistakableHookPath05"
TOKEN = "UnmistakableTemplateToken-06"
FILE_TOKEN = "UnmistakableFileToken07"
WRONG_FORM_TOKEN = "UnmistakableRefusedToken-08"
NOBODY = 1  # a port of loopback where nothing listens
GITHUB = "https://api.github.com/repos/acme/site/dispatches"
NO_SECRETS = {"secrets-TOTAL_FORMS": "0", "secrets-INITIAL_FORMS": "0"}
FORM = {"slug": "by-form", "timeout_s": "2", "lane": "fast", "content_mode": "structured"} | NO_SECRETS


@dataclass
class Places:
    """What somebody could have read so far. `shown_once`: the answers whose purpose is to show a new secret."""

    log: Log = field(default_factory=Log)
    texts: list[tuple[str, bytes]] = field(default_factory=list)
    shown_once: list[bytes] = field(default_factory=list)
    traced: Recorded | None = None

    def keep(self, where: str, text: object) -> None:
        self.texts.append((where, text if isinstance(text, bytes) else str(text).encode()))

    def answer(self, response: Any, once: bool = False) -> Any:
        """Keeps status line, headers, cookies and body; every answer on the way of redirects was followed by hand."""
        where = f"answer of {response.request['PATH_INFO']}"
        self.keep(where, f"{response.status_code} {dict(response.headers)} {response.cookies.output()}")
        if once:
            self.shown_once.append(response.content)
        else:
            self.keep(where, response.content)
        return response

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.texts
        yield from (("log", line.encode()) for line in self.log.lines)
        assert self.traced is not None
        yield from ((f"span {span.name}", span.to_json().encode()) for span in self.traced.spans)
        yield from tables()


@pytest.fixture
def places() -> Iterator[Places]:
    """With every logger at DEBUG, the database's statements among them, and with every span that can be made."""
    found = Places()
    handler, root = found.log.handler(), logging.getLogger()
    loggers = [root, *(item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger))]
    before = [(item, item.level) for item in loggers]
    for item in loggers:
        item.setLevel(logging.DEBUG)
    root.addHandler(handler)
    connection.force_debug_cursor = True
    with recorded() as traced:
        found.traced = traced
        yield found
    connection.force_debug_cursor = False
    root.removeHandler(handler)
    for item, level in before:
        item.setLevel(level)


@pytest.fixture
def acme(settings: Settings) -> Tenant:
    settings.ENCRYPTION_KEYS = MASTERS
    data_keys.forget()
    return TenantFactory(slug="acme")


@pytest.fixture
def ops() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(SuperuserFactory(username="eva"))
    return client


@pytest.fixture
def endpoints(acme: Tenant, receiver: Receiver, settings: Settings) -> dict[str, Endpoint]:
    """One of each way to fail with a secret in hand."""
    settings.PAGERDUTY_EVENTS_URL = receiver.url("/pagerduty")
    hook = {"hook_url": f"http://127.0.0.1:{NOBODY}/services/{HOOK}"}
    broker = {"url": f"amqp://ops:{BROKER_PASSWORD}@127.0.0.1:{NOBODY}/"}
    made = {
        "webhook": EndpointFactory(tenant=acme, slug="webhook", url=receiver.url("/fail"), timeout_s=2),
        "slack": EndpointFactory(
            tenant=acme,
            slug="slack",
            template="slack",
            url="http://127.0.0.1/…",
            sealed_credentials=seal_credentials(hook),
        ),
        "github": EndpointFactory(
            tenant=acme,
            slug="github",
            template="github",
            url=receiver.url("/fail"),
            template_params={"event_type": "{{ event.data.nothing_like_it | date_of }}"},
            sealed_credentials=seal_credentials({"token": TOKEN}),
        ),
        "amqp": EndpointFactory(
            tenant=acme,
            slug="amqp",
            channel=Channel.AMQP,
            url="",
            timeout_s=2,
            config={"exchange": "releases", "routing_key": "{type}"},
            sealed_credentials=seal_credentials(broker),
        ),
        "pagerduty": EndpointFactory(
            tenant=acme,
            slug="pagerduty",
            channel=Channel.PAGERDUTY,
            url="",
            sealed_credentials=seal_credentials({"routing_key": ROUTING_KEY}),
        ),
    }
    Endpoint.objects.filter(pk=made["webhook"].pk).update(sealed_headers=seal_headers([("authorization", HEADER)]))
    return made


def test_no_secret_is_found_anywhere_when_all_of_them_were_used(
    places: Places,
    ops: Client,
    acme: Tenant,
    endpoints: dict[str, Endpoint],
    receiver: Receiver,
    desk: Desk,
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets = sign_and_rotate(endpoints["webhook"])
    secrets |= publish(places, acme, monkeypatch)
    deliver(endpoints, receiver, desk, make)
    send_tests(places, ops, endpoints)
    secrets |= use_the_admin(places, ops, acme, endpoints)
    call_people(places, ops, acme)
    run_commands(places, acme, tmp_path, monkeypatch)
    read_pages(places, ops, endpoints)
    secrets |= stored_secrets() | named()
    lose_the_keys(places, ops, endpoints)

    out, err = capfd.readouterr()
    places.keep("standard output", out)
    places.keep("standard error", err)
    assert len(places.log.lines) > 200
    assert places.traced is not None
    assert {"POST /internal/events/publish", "delivery send"} <= {span.name for span in places.traced.spans}
    assert Attempt.objects.filter(error__gt="").count() >= len(endpoints)
    assert leaks(secrets, places.everything()) == []
    # And the search would have found them: where they are meant to be shown they are.
    shown = list(enumerate(places.shown_once))
    assert len(leaks(secrets, [(f"shown {number}", text) for number, text in shown])) >= len(shown) > 3


def named() -> dict[str, str | bytes]:
    """Those that a person typed, or a file held."""
    typed = (HEADER, FORM_HEADER, ROUTING_KEY, BROKER_PASSWORD, HOOK, TOKEN, FILE_TOKEN, WRONG_FORM_TOKEN, PASSWORD)
    return {text[:18]: text.removeprefix("Bearer ") for text in typed}


def bare(secret: str) -> str:
    return secret.partition("_")[2]


def sign_and_rotate(endpoint: Endpoint) -> dict[str, str | bytes]:
    first = add_secret(endpoint, ACTOR)
    endpoint.signing = Signing.ED25519
    rotate_secret(endpoint, ACTOR)
    return {"first signing secret": bare(first)}


def publish(places: Places, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | bytes]:
    """Right, wrong, changed, stale, and with a fault of ours in the middle."""
    key, secret = create_publish_key(acme.pk, "CI", ACTOR)
    sender = Sender(key.key_id, secret)
    body = json.dumps(event()).encode()
    places.answer(sender.structured(event()))
    for signing in (
        sender.sign(b"another body"),
        sender.sign(body, at=0),
        sender.sign(body) | {"webhook-signature": f"v1,{bare(secret)}"[:-1]},
        sender.sign(body) | {"webhook-timestamp": "soon"},
        sender.sign(body) | {"x-publish-key": "pk_unknown"},
    ):
        assert places.answer(sender.post(body, signing=signing)).status_code == 401
    assert places.answer(sender.post(b"{", headers={"authorization": HEADER})).status_code == 400
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_accept", lambda *_: 1 / 0)
        assert places.answer(sender.structured(event())).status_code == 500
    rotated = Sender(key.key_id, rotate_publish_key(PublishKey.objects.get(), ACTOR))
    places.answer(rotated.structured(event()))
    return {"first publish secret": bare(secret), "second publish secret": bare(rotated.secret)}


def deliver(endpoints: dict[str, Endpoint], receiver: Receiver, desk: Desk, make: Make) -> None:
    """Every one fails, each in its own way, and the last try of one by a broken answer."""
    receiver.script("/fail", Answer(500, body=b"no"), Raw(b"HTTP/1.1 gibberish\r\n\r\n"), Answer(503))
    receiver.script("/pagerduty", Answer(400, body=b'{"status":"invalid event"}'))
    for endpoint in endpoints.values():
        subscription = SubscriptionFactory(endpoint=endpoint)
        desk.deliver(make(subscription=subscription))
    desk.deliver(make(subscription=SubscriptionFactory(endpoint=endpoints["webhook"])))


def send_tests(places: Places, ops: Client, endpoints: dict[str, Endpoint]) -> None:
    for endpoint in endpoints.values():
        page = reverse("endpoint-test", args=[endpoint.pk])
        places.answer(ops.get(page))
        places.answer(ops.post(page, {"type": "plugin.release.published"}))
        places.keep("test_send", run("test_send", f"acme/{endpoint.slug}"))


def use_the_admin(places: Places, ops: Client, acme: Tenant, endpoints: dict[str, Endpoint]) -> dict[str, str | bytes]:
    add = reverse("admin:subscriptions_endpoint_add") + "?channel=webhook"
    values = FORM | {
        "tenant": str(acme.pk),
        "url": "https://hooks.example.com/x",
        "new_headers": f"x-key: {FORM_HEADER}",
    }
    wrong = ({"timeout_s": "99"}, {"new_headers": f"x-key {FORM_HEADER}"}, {"slug": "Not A Slug"}, {"url": "ftp://x"})
    for change in wrong:
        assert "adminform" in places.answer(ops.post(add, values | change)).context
    places.answer(ops.post(add, values), once=True)
    refuse(places, ops, acme)
    made = Endpoint.objects.get(slug="by-form")
    page = reverse("admin:subscriptions_endpoint_change", args=[made.pk])
    places.answer(ops.post(page, FORM | {"url": "https://hooks.example.com/y", "name": "Renamed"}))
    places.answer(ops.post(page, FORM | {"url": "https://hooks.example.com/y", "signing": "v1a"}))
    places.answer(act(ops, "subscriptions_endpoint", "pause_selected", made.pk))
    places.answer(act(ops, "subscriptions_endpoint", "rotate_selected", endpoints["webhook"].pk), once=True)
    oldest = endpoints["webhook"].secrets.order_by("id").first()
    assert oldest is not None
    places.answer(
        ops.post(reverse("admin:subscriptions_endpoint_revoke_secret", args=[endpoints["webhook"].pk, oldest.pk]))
    )
    key_page = reverse("admin:eventcenter_publishkey_add")
    assert "adminform" in places.answer(ops.post(key_page, {"tenant": str(acme.pk), "name": ""})).context
    places.answer(ops.post(key_page, {"tenant": str(acme.pk), "name": "By form", "active": "on"}), once=True)
    key = PublishKey.objects.get(name="By form")
    before = stored_secrets() | api_key(places, ops, acme)
    places.answer(act(ops, "eventcenter_publishkey", "rotate_selected", key.pk), once=True)
    return before


def api_key(places: Places, ops: Client, acme: Tenant) -> dict[str, str | bytes]:
    """Made by form, used, used wrongly and revoked."""
    form = {"tenant": str(acme.pk), "name": "CI", "scopes": ["view"]}
    shown = places.answer(ops.post(reverse("admin:eventcenter_apikey_add"), form), once=True).content.decode()
    text = re.search(r"ak_[0-9a-f]+[.][A-Za-z0-9_-]+", shown)
    assert text is not None
    replays = "/internal/events/replays"
    for given in (text[0], text[0][:-1]):
        places.answer(Client().get(replays, headers={"authorization": f"Bearer {given}"}))
    places.answer(act(ops, "eventcenter_apikey", "revoke_selected", ApiKey.objects.get().pk))
    return {"API key": text[0].partition(".")[2]}


def call_people(places: Places, ops: Client, acme: Tenant) -> None:
    """A contact by form, right and wrong, tried and called."""
    add = reverse("admin:delivery_alertcontact_add")
    values = {
        "tenant": str(acme.pk),
        "name": "On call",
        "channel": "pagerduty",
        "least_severity": "info",
        "enabled": "on",
    }
    for key in (WRONG_FORM_TOKEN, ROUTING_KEY):
        places.answer(ops.post(add, values | {"routing_key": key}))
    contact = AlertContact.objects.get()
    places.answer(act(ops, "delivery_alertcontact", "test_selected", contact.pk))
    places.keep("test_contact", run("test_contact", "On call", "--tenant", "acme"))
    joined(make_alert(tenant_id=acme.pk), timezone.now())
    places.keep("send_pages", run("send_pages", "--once"))
    assert Page.objects.get().tries == 1


def refuse(places: Places, ops: Client, acme: Tenant) -> None:
    """Forms with a secret that come back for another reason."""
    channels = {
        "channel=pagerduty": {"settings.routing_key": WRONG_FORM_TOKEN, "settings.severity": "event"},
        "channel=amqp": {"settings.url": f"https://{WRONG_FORM_TOKEN}@x", "settings.exchange": "x"},
        "channel=webhook&template=github": {"url": "https://x.example.com", "template_params.token": WRONG_FORM_TOKEN},
        "channel=webhook&template=slack": {"url": f"https://x.example.com/{WRONG_FORM_TOKEN}"},
    }
    for query, values in channels.items():
        page = f"{reverse('admin:subscriptions_endpoint_add')}?{query}"
        answer = places.answer(ops.post(page, FORM | {"tenant": str(acme.pk)} | values))
        assert answer.context["adminform"].form.errors


def act(ops: Client, model: str, action: str, pk: int) -> Any:
    return ops.post(reverse(f"admin:{model}_changelist"), {"action": action, "_selected_action": [pk]})


def run_commands(places: Places, acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file with right and wrong secrets, every export, the rotations, the reminders."""
    monkeypatch.setenv("HOOK_TOKEN", FILE_TOKEN)
    path = tmp_path / "subscriptions.yaml"
    for hook in (
        f"https://hooks.slack.com/services/T0/B0/{HOOK}",
        "https://hooks.slack.com/services/T0/B0/${HOOK_TOKEN}",
    ):
        path.write_text(json.dumps(subscriptions_file(hook)))
        places.keep("sync_subscriptions --dry-run", run("sync_subscriptions", "--file", str(path), "--dry-run"))
        places.keep("sync_subscriptions", run("sync_subscriptions", "--file", str(path)))
    for name in (name for name in get_commands() if name.startswith("export_")):
        places.keep(name, run(name))
    places.keep("rotate --dry-run", run("rotate_encryption_key", "--dry-run"))
    places.keep("rotate", run("rotate_encryption_key", "--new-data-key"))
    EndpointSecret.objects.lasting().update(created_at=timezone.now() - timedelta(days=400))
    assert remind(timezone.now())
    wrong = run("validate_webhook", f"http://127.0.0.1:{NOBODY}/", "--secret", f"whsec_{WRONG_FORM_TOKEN}")
    places.keep("validate_webhook", wrong)


def subscriptions_file(hook: str) -> dict[str, Any]:
    headers = {"authorization": "Bearer ${HOOK_TOKEN}"}
    github = {"event_type": "released", "token": "${HOOK_TOKEN}"}
    rows = [
        {"slug": "file-plain", "url": "https://hooks.example.com/x", "headers": headers},
        {"slug": "file-github", "url": GITHUB, "template": "github", "template_params": github},
        {"slug": "file-slack", "url": hook, "template": "slack"},
        {"slug": "file-pd", "channel": "pagerduty", "settings": {"routing_key": ROUTING_KEY}},
    ]
    return {"version": 1, "tenants": [{"slug": "acme", "name": "Acme", "endpoints": rows}]}


def run(*argv: str) -> str:
    """Output and, when it fails, the words that a person sees."""
    out, err = StringIO(), StringIO()
    try:
        call_command(*argv, stdout=out, stderr=err)
    except (CommandError, CannotSendError) as error:
        err.write(str(error))
    except SystemExit as left:
        err.write(f"exit {left.code}")
    return out.getvalue() + err.getvalue()


def read_pages(places: Places, ops: Client, endpoints: dict[str, Endpoint]) -> None:
    """Every list and page of the admin that shows what was made, and the console."""
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        places.answer(ops.get(reverse(f"{name}_changelist")))
        for pk in list(model._base_manager.values_list("pk", flat=True)[:20]):
            if not isinstance(pk, tuple):
                places.answer(ops.get(reverse(f"{name}_change", args=[pk])))
                places.answer(ops.get(reverse(f"{name}_history", args=[pk])))
    for page in ("deliveries", "alerts", "replays", "feed"):
        places.answer(ops.get(reverse(page)))
    for attempt in Attempt.objects.all():
        places.answer(ops.get(reverse("delivery", args=[attempt.delivery_id])))
    for alert_id in Alert.objects.values_list("pk", flat=True):
        places.answer(ops.get(reverse("alert", args=[alert_id])))
    places.answer(ops.get("/metrics"))
    places.answer(ops.get(reverse("readyz")))


def lose_the_keys(places: Places, ops: Client, endpoints: dict[str, Endpoint]) -> None:
    """All the ways in which nothing can be opened are logged and answered."""
    kept = django_settings.ENCRYPTION_KEYS
    django_settings.ENCRYPTION_KEYS = (("m3", b"Unmistakable-master-key-number-3"),)
    data_keys.forget()
    delivery_settings.reload()
    key = PublishKey.objects.first()
    assert key is not None
    assert places.answer(Sender(key.key_id, "whsec_" + "A" * 44).structured(event())).status_code == 503
    for endpoint in endpoints.values():
        with pytest.raises(CannotSendError):
            send_test(endpoint, ACTOR)
        places.answer(ops.get(reverse("admin:subscriptions_endpoint_change", args=[endpoint.pk])))
    places.keep("rotate without keys", run("rotate_encryption_key"))
    django_settings.ENCRYPTION_KEYS = kept
    data_keys.forget()


@pytest.mark.parametrize("shift", range(3))
def test_search_finds_a_secret_when_it_is_encoded_within_something_longer(shift: int) -> None:
    hidden = base64.b64encode(b"x" * shift + b"UnmistakableToken-99" + b"after it")
    assert leaks({"token": "UnmistakableToken-99"}, [("here", hidden)]) == ["token in here"]
    assert leaks({"token": "UnmistakableToken-99"}, [("here", b"UnmistakableToken-98")]) == []
    assert all(len(form) > 8 for form in forms("UnmistakableToken-99"))
