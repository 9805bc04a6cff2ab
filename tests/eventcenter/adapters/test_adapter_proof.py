"""Who is taken for the forge: the proof, the secret's rotation, and the URL."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.trail import Actor
from eventcenter.adapters.registry import FORGES
from eventcenter.adapters.services import ROTATION_OVERLAP, rotate_secret
from eventcenter.models import (
    Adapter,
    AdapterCount,
    AdapterKind,
)
from subscriptions.models import Tenant
from tests.eventcenter.adapters import payloads
from tests.eventcenter.adapters.forge import VALID, ForgeClient, answer, refusal
from tests.eventcenter.sender import kept

pytestmark = pytest.mark.django_db

ACTOR = Actor("user:eva")
KINDS = list(AdapterKind)
Forge = Callable[..., ForgeClient]


@pytest.mark.parametrize("kind", KINDS)
def test_message_is_refused_when_its_secret_is_another(
    forge: Forge, kind: AdapterKind, caplog: pytest.LogCaptureFixture
) -> None:
    hub = forge(kind)
    right, hub.secret = hub.secret, forge(kind).secret

    with caplog.at_level(logging.WARNING):
        problem = refusal(hub.post(VALID[kind]), 401)

    assert problem["type"] == "urn:event-center:problem:unauthorized"
    assert (kept(), hub.counts()) == ((0, 0), {("refused", "wrong"): 1})
    (record,) = [row for row in caplog.records if row.msg == "adapter.signature_refused"]
    assert record.__dict__["fault"] == "wrong"
    told = f"{record.__dict__} {problem}"
    assert right not in told
    assert hub.secret not in told
    assert hub.adapter.public_id not in str(record.__dict__)


@pytest.mark.parametrize("kind", KINDS)
def test_header_is_named_when_the_proof_is_missing(forge: Forge, kind: AdapterKind) -> None:
    hub = forge(kind)

    response = hub.post(VALID[kind], proof={})

    assert FORGES[kind].proof_header in refusal(response, 401)["detail"]
    assert response["WWW-Authenticate"] == FORGES[kind].challenge
    assert hub.counts() == {("refused", "missing"): 1}


def test_message_is_refused_when_a_byte_of_it_was_changed(forge: Forge) -> None:
    hub = forge()
    body = json.dumps(payloads.github()).encode()

    refusal(hub.post(body.replace(b"1.10.1", b"1.10.2"), proof=hub.proof(body)), 401)

    assert kept() == (0, 0)


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "sha1=00", "é", "sha256=" + "0" * 64, "sha256=" + "0" * 5000, "\udce9"]
)
def test_signature_is_refused_when_it_is_no_signature(forge: Forge, signature: str) -> None:
    hub = forge()

    refusal(hub.post(payloads.github(), headers={"X-Hub-Signature-256": signature}), 401)

    assert kept() == (0, 0)


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}"])
@pytest.mark.parametrize("kind", [AdapterKind.OCI, AdapterKind.HARBOR])
def test_secret_is_taken_when_the_header_has_it_alone_or_as_a_bearers(
    forge: Forge, kind: AdapterKind, form: str
) -> None:
    hub = forge(kind)

    assert answer(hub.post(VALID[kind], proof={"Authorization": form.format(hub.secret)}))["events"]


def test_signature_is_taken_when_gitlab_has_a_signing_token(forge: Forge) -> None:
    hub = forge(AdapterKind.GITLAB)
    body = json.dumps(payloads.gitlab()).encode()

    assert answer(hub.post(body, proof=hub.signed_by_gitlab(body)))["events"]


def test_signature_decides_when_gitlab_sends_the_token_beside_it(forge: Forge) -> None:
    hub = forge(AdapterKind.GITLAB)
    body = json.dumps(payloads.gitlab()).encode()
    signed = hub.signed_by_gitlab(body)

    refusal(hub.post(body.replace(b"v1.1", b"v6.6"), proof=hub.proof(body) | signed), 401)
    refusal(hub.post(body, proof=hub.signed_by_gitlab(body, time.time() - 400)), 401)
    refusal(hub.post(body, proof={"webhook-signature": signed["webhook-signature"]}), 401)

    assert hub.counts() == {("refused", "wrong"): 1, ("refused", "stale"): 1, ("refused", "missing"): 1}
    assert kept() == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_old_secret_is_taken_for_a_day_when_it_was_rotated(forge: Forge, kind: AdapterKind) -> None:
    hub = forge(kind)

    new = ForgeClient(hub.adapter, rotate_secret(hub.adapter, ACTOR))

    assert answer(hub.post(VALID[kind]))["events"]
    assert answer(new.post(VALID[kind]))["events"]
    Adapter.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    refusal(hub.post(VALID[kind]), 401)
    assert answer(new.post(VALID[kind]))["events"]
    assert timedelta(hours=24) == ROTATION_OVERLAP


def test_secret_before_the_last_is_refused_when_it_was_rotated_twice(forge: Forge) -> None:
    hub = forge()
    rotate_secret(hub.adapter, ACTOR)
    rotate_secret(hub.adapter, ACTOR)

    refusal(hub.post(payloads.github()), 401)


@pytest.mark.parametrize("public_id", ["ad_" + "0" * 32, "x", "a" * 5000])
def test_nothing_is_there_when_the_id_is_not_known(forge: Forge, public_id: str) -> None:
    hub = forge()
    hub.adapter.public_id = public_id

    refusal(hub.post(payloads.github()), 404)

    assert AdapterCount.objects.count() == 0


def test_nothing_is_there_when_the_tenant_is_not_active(forge: Forge) -> None:
    hub = forge()
    Tenant.objects.update(active=False)

    refusal(hub.post(payloads.github()), 404)


def test_counts_are_the_adapters_own_when_several_are_there(forge: Forge) -> None:
    hub, other = forge(), forge(tenant="globex")

    answer(hub.post(payloads.github()))

    assert {row.tenant_id for row in AdapterCount.objects.all()} == {hub.adapter.tenant_id}
    assert other.counts() == {}
