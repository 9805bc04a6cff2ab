"""docs/guides/publish.md and receive.md are true: their programs publish to the running system and verify what it sends."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from delivery.bench.processes import Fleet, free_port
from delivery.models import Delivery
from delivery.states import DeliveryStatus
from eventcenter.envelope import STRUCTURED_CONTENT_TYPE, parse_structured, parse_v1
from eventcenter.flags import Flag
from eventcenter.models import EventType, FeatureFlag, OutboxMessage
from eventcenter.standardwebhooks import decode_secret, generate_secret, sign, verify
from tests.docs.programs import (
    PROGRAMS,
    REFUSED,
    ROOT,
    TRY_LATER,
    Programs,
    Server,
    StoredRequests,
    copied,
)
from tests.factories import (
    EndpointFactory,
    EndpointSecretFactory,
    PublishKeyFactory,
    SubscriptionFactory,
    TenantFactory,
)
from tests.fakes.receiver import Answer, Receiver, Reset
from tests.waiting import eventually

PAGES = {page: (ROOT / "docs" / "guides" / f"{page}.md").read_text() for page in ("publish", "receive")}
FENCES = {".py": "python", ".mjs": "js", ".sh": "sh"}
SHOWN = {
    "publish.py": "publish",
    "publish.mjs": "publish",
    "publish.sh": "publish",
    "receive.py": "receive",
    "receive.mjs": "receive",
    "verify.sh": "receive",
}
SECRET = generate_secret()
EVENT: dict[str, Any] = json.loads(re.search(r"^```json\n(.*?)^```$", PAGES["publish"], re.M | re.S)[1])  # type: ignore[index]


# --- What the pages show -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "page"), SHOWN.items())
def test_page_shows_the_program_as_it_is_run(name: str, page: str) -> None:
    path = PROGRAMS / name

    assert f"(programs/{name}).\n\n```{FENCES[path.suffix]}\n{path.read_text()}```\n" in PAGES[page]


def test_every_program_is_shown() -> None:
    assert {path.name for path in PROGRAMS.iterdir() if path.suffix in FENCES} == set(SHOWN)


def test_lock_names_no_registry() -> None:
    assert "://" not in (PROGRAMS / "package-lock.json").read_text()


# --- The programs alone ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["python", "node", "shell"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> Programs:
    language = str(request.param)
    if language == "shell" and not (shutil.which("curl") and shutil.which("openssl")):
        pytest.skip("needs curl and openssl")
    modules = request.getfixturevalue("node_modules") if language == "node" else None
    return copied(language, tmp_path / "programs", modules)


@pytest.fixture
def receiving(programs: Programs) -> Iterator[Server | StoredRequests]:
    """The receiving program, with SECRET."""
    started = (
        StoredRequests(programs, SECRET) if programs.language == "shell" else Server(programs, SECRET, free_port())
    )
    yield started
    started.close()


BODY = '{"type":"plugin.release.published","subject":"größe"}\n'.encode()


def signed(body: bytes = BODY, secret: str = SECRET, age_s: int = 0, message_id: str = "") -> dict[str, str]:
    message_id, at = message_id or str(uuid4()), int(time.time()) - age_s
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign([decode_secret(secret)], message_id, at, body),
    }


def test_signed_request_is_kept_byte_for_byte(receiving: Server | StoredRequests, programs: Programs) -> None:
    headers = signed()

    assert receiving.take(headers, BODY)

    assert programs.kept() == {headers["webhook-id"]: BODY}


def test_request_is_kept_when_a_secret_is_being_rotated(receiving: Server | StoredRequests, programs: Programs) -> None:
    other, right = signed(secret=generate_secret(), message_id="d-1"), signed(message_id="d-1")
    both = {**right, "webhook-signature": f"{other['webhook-signature']} {right['webhook-signature']}"}

    assert receiving.take(both, BODY)


def test_repeat_is_answered_well_and_dropped(receiving: Server | StoredRequests, programs: Programs) -> None:
    first, again = signed(message_id="d-1"), signed(message_id="d-1", age_s=3)

    assert receiving.take(first, BODY)
    assert receiving.take(again, BODY)

    assert programs.kept() == {"d-1": BODY}


def wrong_requests() -> dict[str, tuple[dict[str, str], bytes]]:
    return {
        "tampered body": (signed(), BODY.replace(b"published", b"withdrawn")),
        "body without its last newline": (signed(), BODY.strip()),
        "old timestamp": (signed(age_s=301), BODY),
        "timestamp of the future": (signed(age_s=-400), BODY),
        "timestamp changed": ({**signed(age_s=301), "webhook-timestamp": str(int(time.time()))}, BODY),
        "another message's id": ({**signed(), "webhook-id": str(uuid4())}, BODY),
        "wrong secret": (signed(secret=generate_secret()), BODY),
        "no signature": ({"webhook-id": "d-1", "webhook-timestamp": str(int(time.time()))}, BODY),
        "signature without a version": ({**signed(), "webhook-signature": "v1"}, BODY),
        "nothing": ({}, b""),
    }


@pytest.mark.parametrize("what", wrong_requests())
def test_request_is_refused_and_not_kept_when_it_is_wrong(
    receiving: Server | StoredRequests, programs: Programs, what: str
) -> None:
    headers, body = wrong_requests()[what]

    assert not receiving.take(headers, body)

    assert programs.kept() == {}


def test_server_asks_for_a_repeat_when_it_cannot_keep_one(programs: Programs) -> None:
    if programs.language == "shell":
        shutil.rmtree(programs.home / "inbox", ignore_errors=True)
        (programs.home / "inbox").write_text("no directory")
        assert programs.verify(SECRET, signed(), BODY) not in (0, REFUSED)
        return
    server = Server(programs, SECRET, free_port())
    try:
        shutil.rmtree(programs.home / "inbox")
        answer = requests.post(server.url, data=BODY, headers=signed(), timeout=10)
    finally:
        server.close()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")


def test_same_event_is_sent_again_signed_anew_when_the_answer_asks_for_it(
    programs: Programs, receiver: Receiver
) -> None:
    wait = [("Retry-After", "0")]
    receiver.script(
        "/internal/events/publish", Reset(), Answer(503, wait), Answer(429, wait), Answer(202, body=b'{"events": []}')
    )

    done = programs.publish(EVENT, receiver.url().rstrip("/"), "pk_1", SECRET)

    tries = receiver.requests
    assert (done.returncode, done.stdout.strip()) == (0, '{"events": []}')
    assert len(tries) == 4
    assert [json.loads(each.body) for each in tries] == [EVENT] * 4
    assert len({each.header("webhook-id") for each in tries}) == 4
    for each in tries:
        told = (each.header(name) for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
        verify([decode_secret(SECRET)], *told, each.body, now=time.time())


def test_program_says_try_later_when_nobody_takes_the_event(programs: Programs, receiver: Receiver) -> None:
    receiver.script("/internal/events/publish", Answer(503, [("Retry-After", "0")]))

    done = programs.publish(EVENT, receiver.url().rstrip("/"), "pk_1", SECRET)

    assert done.returncode == TRY_LATER
    assert len(receiver.requests) == 5


# --- With the publish API ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("topic")
def test_refusal_is_told_and_not_tried_again_when_it_cannot_help(
    programs: Programs, live_server: LiveServer, event_types: list[EventType]
) -> None:
    key = PublishKeyFactory(tenant=TenantFactory(slug="acme"), secret=SECRET).key_id

    unsigned = programs.publish(EVENT, live_server.url, key, generate_secret())
    unknown = programs.publish(EVENT | {"type": "plugin.eaten"}, live_server.url, key, SECRET)
    wrong = programs.publish(EVENT | {"time": "soon"}, live_server.url, key, SECRET)

    assert [done.returncode for done in (unsigned, unknown, wrong)] == [REFUSED] * 3
    assert "HTTP 401" in unsigned.stderr
    assert "HTTP 422" in unknown.stderr
    assert "plugin.eaten" in unknown.stderr
    assert "HTTP 400" in wrong.stderr
    assert "RFC 3339" in wrong.stderr
    assert not OutboxMessage.objects.exists()


# --- With the whole system ---------------------------------------------------------------------------------------------


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("programs", "v2"), [("python", True), ("node", True), ("shell", True), ("python", False)], indirect=["programs"]
)
def test_published_event_is_received_verified_and_once(
    programs: Programs,
    receiving: Server | StoredRequests,
    receiver: Receiver,
    event_types: list[EventType],
    fleet: Fleet,
    v2: bool,
) -> None:
    url = receiving.url if isinstance(receiving, Server) else receiver.url("/hook")
    endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), url=url)
    EndpointSecretFactory(endpoint=endpoint, secret=SECRET)
    SubscriptionFactory(endpoint=endpoint, types=["plugin.release.published"])
    key = PublishKeyFactory(tenant=endpoint.tenant, secret=SECRET).key_id
    FeatureFlag.objects.update_or_create(name=Flag.EVENT_BUS_V2, defaults={"everyone": v2})
    base = start(fleet)

    first, again = (programs.publish(EVENT, base, key, SECRET) for _ in range(2))

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert [json.loads(done.stdout)["events"][0]["duplicate"] for done in (first, again)] == [False, True]
    delivery = eventually(lambda: Delivery.objects.filter(status=DeliveryStatus.DELIVERED).first(), timeout=30)
    if isinstance(receiving, StoredRequests):
        (request,) = receiver.wait_for(1)
        assert receiving.take(request.header_map(), request.body)
    assert list(programs.kept()) == [str(delivery.pk)]
    (body,) = programs.kept().values()
    event = parse_structured(body) if v2 else parse_v1(body)
    assert (event.id, event.tags, json.loads(event.data)) == (EVENT["id"], ("stable", "region:eu"), EVENT["data"])


def start(fleet: Fleet) -> str:
    """The system's processes; the address of the publish API."""
    base = f"http://127.0.0.1:{(port := free_port())}"
    fleet.start_web(port)
    fleet.start_consumer()
    fleet.start_worker("worker")
    eventually(lambda: is_up(f"{base}/healthz"), timeout=30)
    return base


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def test_media_type_of_the_programs_is_the_standard_one() -> None:
    for name in ("publish.py", "publish.mjs", "publish.sh"):
        assert STRUCTURED_CONTENT_TYPE in (PROGRAMS / name).read_text()
