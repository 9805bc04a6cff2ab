"""Entries of the trail on their topic: in order per chain, at least once, whatever happens to Kafka or the process."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from pytest_django import Settings

from audit import store
from audit.chain import Link, digest
from audit.models import AuditEntry, StreamCursor
from config.stack.services import Services
from delivery.bench.processes import MANAGE, Fleet
from eventcenter import flags
from eventcenter.audit_stream import ENTRY_TYPE, OF_CHAIN_MOST, AuditStream
from eventcenter.envelope import parse_kafka
from tests.audit.tampering import written
from tests.eventcenter.audit_bus import Seen, messages
from tests.factories import TenantFactory
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def own_topics(audit_topics: None) -> Iterator[None]:
    flags.states.forget()
    yield
    flags.states.forget()


def stream(chains: tuple[str, ...] = ("acme", "globex", "platform")) -> AuditStream:
    return AuditStream(lambda: True, lambda chain: chain in chains)


def positions(seen: list[Seen], chain: str) -> list[int]:
    return [one.value["position"] for one in seen if one.key == chain]


def test_entries_are_on_the_topic_in_order_when_the_flag_is_on(settings: Settings) -> None:
    for chain in ("acme", "globex", "platform", "acme"):
        written(chain, 3)

    assert stream().step() is False

    seen = messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC)
    assert positions(seen, "acme") == [1, 2, 3, 4, 5, 6]
    assert positions(seen, "globex") == positions(seen, "platform") == [1, 2, 3]
    assert dict(StreamCursor.objects.values_list("chain", "position")) == {"acme": 6, "globex": 3, "platform": 3}


def test_message_is_a_cloudevent_with_all_that_the_digest_covers(settings: Settings) -> None:
    (entry,) = written("acme", 1)

    stream().step()

    (seen,) = messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC)
    event = parse_kafka([(name, value.encode()) for name, value in seen.headers.items()], b"{}")
    assert (event.type, event.id, event.source, event.tenant) == (ENTRY_TYPE, "acme/1", "/event-center/audit", "acme")
    assert (event.subject, event.time) == ("endpoint:0", entry.at)
    data = dict(seen.value)
    previous, own = bytes.fromhex(data.pop("previous")), bytes.fromhex(data.pop("digest"))
    assert own == digest(previous, Link(**data | {"at": entry.at}))
    assert data["details"] == {"n": 0, "to": "é"}


def test_nothing_is_sent_when_the_flag_is_off(settings: Settings) -> None:
    written("acme", 3)

    assert stream(("globex",)).step() is False

    assert messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC) == []
    assert not StreamCursor.objects.exists()


def test_chain_is_sent_from_its_start_when_the_flag_comes_later_and_goes_on_when_it_comes_again(
    settings: Settings,
) -> None:
    written("acme", 3)
    stream(()).step()
    stream(("acme",)).step()
    written("acme", 2)
    stream(()).step()
    written("acme", 1)
    stream(("acme",)).step()

    assert positions(messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC), "acme") == [1, 2, 3, 4, 5, 6]


def test_more_is_sent_at_once_when_a_chain_is_long(settings: Settings) -> None:
    written("acme", OF_CHAIN_MOST + 1)
    written("globex", 1)
    streaming = stream()

    assert streaming.step() is True
    assert dict(StreamCursor.objects.values_list("chain", "position")) == {"acme": OF_CHAIN_MOST, "globex": 1}
    assert streaming.step() is False

    seen = messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC)
    assert positions(seen, "acme") == list(range(1, OF_CHAIN_MOST + 2))


def test_nothing_is_lost_when_kafka_is_away(settings: Settings, services: Services) -> None:
    written("acme", 3)
    services.kafka.stop()
    try:
        assert stream().step() is False
        assert not StreamCursor.objects.exists()
    finally:
        services.kafka.start()

    eventually(lambda: stream().step() is False and StreamCursor.objects.exists())

    assert sorted(set(positions(messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC), "acme"))) == [1, 2, 3]


def test_cursor_stays_when_another_process_moved_it(settings: Settings) -> None:
    written("acme", 3)
    streaming = stream()
    batches = streaming._batches()
    StreamCursor.objects.create(chain="acme", position=9)

    streaming._move(batches, [True] * 3)

    assert StreamCursor.objects.get().position == 9


def test_relay_streams_for_tenants_that_have_the_flag(settings: Settings, topic: str) -> None:
    TenantFactory(slug="acme")
    TenantFactory(slug="globex")
    for chain in ("acme", "globex", "platform"):
        written(chain, 2)
    call_command("waffle_flag", "audit-streaming", tenant=["acme"], create=True, stdout=io.StringIO())
    flags.states.forget()

    call_command("relay_outbox", "--once")

    assert {seen.key for seen in messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC)} == {"acme"}
    call_command("waffle_flag", "audit-streaming", everyone=True, stdout=io.StringIO())
    flags.states.forget()
    call_command("relay_outbox", "--once")
    assert {seen.key for seen in messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC)} == {"acme", "globex", "platform"}


def test_every_entry_is_there_in_order_when_the_relay_is_killed_again_and_again(
    settings: Settings, process_env: dict[str, str], fleet: Fleet
) -> None:
    call_command("waffle_flag", "audit-streaming", everyone=True, create=True, stdout=io.StringIO())
    fleet.env["KAFKA_AUDIT_ENTRIES_TOPIC"] = settings.KAFKA_AUDIT_ENTRIES_TOPIC
    written("acme", 2_000)

    for least in (1, 600, 1_200):
        relay = fleet.start("relay", [*MANAGE, "relay_outbox"])
        eventually(lambda least=least: cursor() >= least, every_s=0.005)
        relay.kill()
    fleet.start("relay", [*MANAGE, "relay_outbox"])
    eventually(lambda: cursor() == 2_000)

    got = positions(messages(settings.KAFKA_AUDIT_ENTRIES_TOPIC), "acme")
    firsts = list(dict.fromkeys(got))
    assert firsts == list(range(1, 2_001))
    assert AuditEntry.objects.filter(chain="acme").count() == store.ends()["acme"] == 2_000


def cursor() -> int:
    return StreamCursor.objects.filter(chain="acme").values_list("position", flat=True).first() or 0
