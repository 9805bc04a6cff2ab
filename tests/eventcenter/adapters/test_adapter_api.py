"""What a forge is answered, and what is kept of what it sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client

from audit.trail import Actor
from eventcenter import flags
from eventcenter.adapters.registry import FORGES
from eventcenter.flags import Flag
from eventcenter.intake import MAX_BODY_BYTES
from eventcenter.models import (
    AdapterKind,
    EventType,
    FeatureFlag,
    IdempotencyKey,
    OutboxMessage,
)
from eventcenter.registry import schemas
from tests.eventcenter.adapters import payloads
from tests.eventcenter.adapters.forge import EVENTS, VALID, ForgeClient, answer, refusal
from tests.eventcenter.sender import kept
from tests.eventcenter.test_health import nobody_listens

pytestmark = pytest.mark.django_db

ACTOR = Actor("user:eva")
KINDS = list(AdapterKind)
Forge = Callable[..., ForgeClient]


def stored(event_id: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(bytes(OutboxMessage.objects.get(pk=event_id).body))
    return event


def test_every_kind_has_a_forge() -> None:
    assert list(FORGES) == KINDS == list(VALID)


# --- What is taken ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_event_is_kept_when_a_forge_tells_of_a_release(forge: Forge, kind: AdapterKind) -> None:
    hub = forge(kind)

    told = answer(hub.post(VALID[kind]))

    (receipt,) = told["events"]
    assert (list(told), receipt["duplicate"]) == (["events"], False)
    event = stored(receipt["id"])
    assert (event["type"], event["tenant"], event["tags"]) == ("plugin.release.published", "acme", "stable")
    assert event["adapter"] == f"{kind}/{hub.adapter.pk}"
    assert hub.counts() == {("accepted", ""): 1}


@pytest.mark.parametrize("kind", KINDS)
def test_first_id_is_told_when_a_delivery_is_sent_again(forge: Forge, kind: AdapterKind) -> None:
    hub = forge(kind)
    (first,) = answer(hub.post(VALID[kind], headers={"X-GitHub-Delivery": "one"}))["events"]

    (again,) = answer(hub.post(VALID[kind], headers={"X-GitHub-Delivery": "two"}))["events"]

    assert again == {"id": first["id"], "duplicate": True}
    assert kept() == (1, 1)
    assert hub.counts() == {("accepted", ""): 1, ("duplicate", ""): 1}


def test_first_id_is_told_when_two_webhooks_tell_of_one_release(forge: Forge) -> None:
    """One at the repository, one at the organization."""
    (first,) = answer(forge().post(payloads.github()))["events"]

    (second,) = answer(forge().post(payloads.github()))["events"]

    assert second == {"id": first["id"], "duplicate": True}


def test_tenants_have_events_of_their_own_when_one_release_is_told_to_both(forge: Forge) -> None:
    (one,) = answer(forge().post(payloads.github()))["events"]

    (other,) = answer(forge(tenant="globex").post(payloads.github()))["events"]

    assert other["id"] != one["id"]
    assert stored(other["id"])["data"]["tenant"] == "globex"


def test_delivery_can_be_traced_when_the_forge_numbers_it(forge: Forge) -> None:
    (receipt,) = answer(forge().post(payloads.github(), headers={"X-GitHub-Delivery": "72d3162e"}))["events"]

    assert stored(receipt["id"])["forgedelivery"] == "72d3162e"


def test_form_is_taken_when_the_webhook_sends_one(forge: Forge) -> None:
    body = urlencode({"payload": json.dumps(payloads.github())}).encode()

    assert answer(forge().post(body, "application/x-www-form-urlencoded; charset=utf-8"))["events"]


def test_each_event_is_told_when_an_envelope_holds_several(forge: Forge) -> None:
    hub = forge(AdapterKind.OCI)
    push, other = payloads.oci_push(), payloads.oci_push(target__tag="1.3.0")
    pull, moving = payloads.oci_push(action="pull"), payloads.oci_push(target__tag="latest")

    told = answer(hub.post(payloads.oci(pull, push, moving, pull, push, other), EVENTS))

    assert [receipt["duplicate"] for receipt in told["events"]] == [False, True, False]
    assert told["events"][0]["id"] == told["events"][1]["id"] != told["events"][2]["id"]
    assert told["reasons"] == {"other_action": 2, "not_a_version": 1}
    assert kept() == (2, 2)
    assert hub.counts() == {
        ("accepted", ""): 2,
        ("duplicate", ""): 1,
        ("ignored", "other_action"): 2,
        ("ignored", "not_a_version"): 1,
    }


def test_nothing_is_told_when_an_envelope_is_empty(forge: Forge) -> None:
    hub = forge(AdapterKind.OCI)

    assert answer(hub.post({"events": []})) == {"events": []}
    assert hub.counts() == {}


# --- What is ignored --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "headers", "reason"),
    [
        (payloads.github_ping(), {"X-GitHub-Event": "ping"}, "ping"),
        (payloads.github_ping(), {"X-GitHub-Event": "star"}, "other_event"),
        (payloads.github(action="edited"), {}, "other_action"),
        (payloads.github(release__draft=True), {}, "draft"),
        (payloads.github(release__prerelease=True), {}, "prerelease"),
        (payloads.github(release__assets__0__browser_download_url="https://h/ x"), {}, "unfit"),
    ],
)
def test_reason_is_told_and_counted_when_a_message_is_ignored(
    forge: Forge, payload: Any, headers: dict[str, str], reason: str
) -> None:
    hub = forge()

    told = answer(hub.post(payload, headers=headers))

    assert (told["ignored"], told["reasons"]) == (reason, {reason: 1})
    assert told["detail"]
    assert "events" not in told
    assert kept() == (0, 0)
    assert hub.counts() == {("ignored", reason): 1}


def test_place_is_told_when_the_schema_would_refuse_the_event(forge: Forge) -> None:
    told = answer(forge().post(payloads.github(release__assets__0__browser_download_url="ftp://h/x.tgz")))

    assert "data.artifact.url" in told["detail"]


def test_release_is_ignored_when_the_adapter_is_paused(forge: Forge) -> None:
    hub = forge(active=False)

    assert answer(hub.post(payloads.github()))["ignored"] == "paused"
    assert (kept(), hub.counts()) == ((0, 0), {("ignored", "paused"): 1})


def test_release_is_ignored_when_the_flag_is_off_for_the_tenant(forge: Forge) -> None:
    hub, other = forge(), forge(tenant="globex")
    flag = FeatureFlag.objects.get(name=Flag.PLUGIN_RELEASE_WEBHOOK)
    flag.everyone = None
    flag.save()
    flag.tenants.set([other.adapter.tenant])
    flags.states.reload()

    assert answer(hub.post(payloads.github()))["ignored"] == "flag_off"
    assert (kept(), hub.counts()) == ((0, 0), {("ignored", "flag_off"): 1})
    assert answer(other.post(payloads.github()))["events"]


def test_type_is_asked_for_when_the_platform_no_longer_takes_it(forge: Forge) -> None:
    hub = forge()

    EventType.objects.update(active=False)
    schemas.reload()

    assert answer(hub.post(payloads.github()))["ignored"] == "unfit"
    assert kept() == (0, 0)


# --- What cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        (AdapterKind.GITHUB, b"not json", "body"),
        (AdapterKind.GITHUB, payloads.github(release__tag_name=...), "release.tag_name"),
        (AdapterKind.GITLAB, b"[]", "body"),
        (AdapterKind.GITLAB, payloads.gitlab(project=3), "project"),
        (AdapterKind.OCI, b"{}", "events"),
        (AdapterKind.HARBOR, payloads.harbor(event_data=...), "event_data"),
    ],
)
def test_place_is_named_and_counted_when_a_body_is_not_as_documented(
    forge: Forge, kind: AdapterKind, payload: Any, field: str
) -> None:
    hub = forge(kind)

    problem = refusal(hub.post(payload), 400)

    assert problem["type"] == "urn:event-center:problem:invalid-payload"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert (kept(), hub.counts()) == ((0, 0), {("refused", "malformed"): 1})


def test_body_is_refused_when_it_is_too_large(forge: Forge) -> None:
    refusal(forge().post(b" " * (MAX_BODY_BYTES + 1)), 413)

    assert kept() == (0, 0)


def test_length_is_asked_for_when_the_body_is_chunked(forge: Forge) -> None:
    refusal(forge().post(payloads.github(), CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked"), 411)


def test_other_methods_are_refused(forge: Forge, client: Client) -> None:
    assert refusal(client.get(forge().url), 405)


# --- When things go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_forge_is_asked_to_come_again_when_the_database_is_away(forge: Forge) -> None:
    hub = forge()
    with nobody_listens():
        response = hub.post(payloads.github())

    assert refusal(response, 503)["detail"]
    assert response["Retry-After"] == "5"
    assert (IdempotencyKey.objects.count(), hub.counts()) == (0, {})
    assert answer(hub.post(payloads.github()))["events"][0]["duplicate"] is False


@pytest.mark.django_db(transaction=True)
def test_one_event_is_made_when_threads_send_one_release_at_once(forge: Forge) -> None:
    hub, threads, rounds = forge(), 4, 5
    start = threading.Barrier(threads)

    def send(_: int) -> list[dict[str, Any]]:
        own = ForgeClient(hub.adapter, hub.secret)
        receipts: list[dict[str, Any]] = []
        try:
            for number in range(rounds):
                start.wait()
                receipts += answer(own.post(payloads.github(release__id=number)))["events"]
        finally:
            connection.close()
        return receipts

    with ThreadPoolExecutor(threads) as pool:
        told = list(pool.map(send, range(threads)))

    for receipts in zip(*told, strict=True):
        assert len({receipt["id"] for receipt in receipts}) == 1
        assert [receipt["duplicate"] for receipt in receipts].count(False) == 1
    assert IdempotencyKey.objects.count() == rounds
    assert hub.counts() == {("accepted", ""): rounds, ("duplicate", ""): rounds * (threads - 1)}
