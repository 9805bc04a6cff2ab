"""verify_audit finds what was done to the trail behind its back, by the trail itself or by the signed heads on the bus."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from audit.models import AuditHead
from config.stack.services import Services
from eventcenter import audit_heads, bus
from tests.audit import tampering
from tests.audit.tampering import written
from tests.eventcenter.audit_bus import messages

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def verify(*arguments: str) -> tuple[int, str]:
    """Exit code and standard output."""
    out = io.StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def found(*arguments: str) -> list[tuple[str, str, int]]:
    data: dict[str, Any] = json.loads(verify("--json", *arguments)[1])
    return [(fault["kind"], fault["chain"], fault["position"]) for fault in data["faults"]]


@pytest.fixture
def signed(audit_topics: None) -> None:
    """Two chains of five, signed and on the bus."""
    written("acme")
    written("globex")
    done = audit_heads.publish(timezone.now())
    assert (done.signed, done.sent, done.waiting, done.faults) == (["acme", "globex"], 2, 0, [])


def test_all_is_well_when_nobody_did_anything(signed: None) -> None:
    written("acme", 2)

    code, text = verify()

    assert (code, text) == (0, "12 entries in 2 chains are as they were written.\n")


@pytest.mark.parametrize(
    ("deed", "faults"),
    [
        (lambda: tampering.change(3), [("changed", 3)]),
        (lambda: tampering.remove(3), [("removed", 4)]),
        (lambda: tampering.remove(1), [("removed", 2)]),
        (lambda: tampering.remove(2, 3), [("removed", 4)]),
        (lambda: tampering.swap(2, 4), [("unlinked", n) for n in (2, 3, 4, 5)] + [("reordered", 2), ("reordered", 4)]),
        (lambda: tampering.fork(3), [("fork", 4), ("unlinked", 5)]),
        (lambda: tampering.remove(5), [("tail_removed", 4)]),
        (lambda: tampering.remove(4, 5), [("tail_removed", 3)]),
        (tampering.remove_chain, [("chain_removed", 0)]),
        (lambda: (tampering.change(3), tampering.rehash()), [("rewritten", 5)]),
        (lambda: (tampering.remove(3), tampering.close_gaps(), tampering.rehash()), [("tail_removed", 4)]),
        (lambda: (tampering.remove(5), written("acme", 1)), [("rewritten", 5)]),
        (lambda: (tampering.remove_chain(), written("acme", 9)), [("rewritten", 5)]),
    ],
    ids=[
        "changed",
        "removed in the middle",
        "first removed",
        "two removed",
        "swapped",
        "forked",
        "last removed",
        "tail removed",
        "chain removed",
        "rewritten from a change on",
        "removed, renumbered and rewritten",
        "last replaced",
        "chain begun anew",
    ],
)
def test_fault_is_found_when_the_owner_of_the_table_tampers(
    signed: None, deed: Callable[[], object], faults: list[tuple[str, int]]
) -> None:
    deed()

    code, text = verify()

    assert code == 1
    expected = [(kind, "acme", position) for kind, position in faults]
    assert found() == expected
    assert found("--chain", "acme") == expected
    assert found("--chain", "globex") == []
    for kind, chain, position in expected:
        assert f"{kind.upper()} {chain}{f'#{position}' if position else ''}: " in text


def test_fault_is_found_by_the_bus_alone_when_the_heads_in_the_database_were_removed_too(signed: None) -> None:
    tampering.remove(5)
    AuditHead.objects.all().delete()

    assert found() == [("tail_removed", "acme", 4)]


def test_older_head_still_tells_when_a_cut_chain_was_signed_again(signed: None) -> None:
    tampering.remove(5)
    AuditHead.objects.filter(chain="acme").delete()
    audit_heads.publish(timezone.now())

    assert found() == [("tail_removed", "acme", 4)]


def test_forged_head_is_refused_when_its_signature_is_not_ours(signed: None) -> None:
    tampering.change(3)
    tampering.rehash()
    row = AuditHead.objects.get(chain="acme")
    own = tampering.AuditEntry.objects.get(chain="acme", position=5)
    AuditHead.objects.filter(chain="acme").update(digest=own.digest, signature=bytes(row.signature))

    assert found() == [("head_refused", "acme", 5), ("rewritten", "acme", 5)]
    assert audit_heads.publish(timezone.now()).signed == []
    written("acme", 1)
    assert [fault.kind for fault in audit_heads.publish(timezone.now()).faults] == ["head_refused"]


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"chain": 1}', b"[]", b'{"chain":"acme","position":"x"}'])
def test_message_is_named_when_it_is_no_head(signed: None, settings: Settings, value: bytes) -> None:
    producer = Producer(bus.kafka_config())
    producer.produce(settings.KAFKA_AUDIT_HEADS_TOPIC, value, key="acme")
    assert producer.flush(10) == 0

    code, text = verify()

    assert code == 1
    assert "message 0/2 is no head" in text


def test_chain_gets_no_head_when_it_was_changed(signed: None) -> None:
    written("acme", 3)
    tampering.change(7)

    done = audit_heads.publish(timezone.now())

    assert done.signed == []
    assert [(fault.kind, fault.position) for fault in done.faults] == [("changed", 7)]
    assert AuditHead.objects.get(chain="acme").position == 5


def test_head_goes_out_later_when_kafka_was_away(signed: None, services: Services, settings: Settings) -> None:
    written("acme", 1)
    services.kafka.stop()
    try:
        assert audit_heads.publish(timezone.now()).waiting == 1
        code, text = verify()
        assert code == 2
        assert "NOT COMPARED Kafka is away" in text
        tampering.remove(6)
        assert found() == [("tail_removed", "acme", 5)]
    finally:
        services.kafka.start()


def test_head_is_sent_when_it_waited(signed: None, settings: Settings) -> None:
    AuditHead.objects.update(sent_at=None)

    done = audit_heads.publish(timezone.now())

    assert (done.signed, done.sent, done.waiting) == ([], 2, 0)
    assert len(messages(settings.KAFKA_AUDIT_HEADS_TOPIC)) == 4
    assert not AuditHead.objects.filter(sent_at=None).exists()


def test_it_says_so_when_the_topic_is_empty_or_missing(audit_topics: None, settings: Settings) -> None:
    written("acme")
    code, text = verify()
    assert code == 2
    assert f"NOT COMPARED The topic {settings.KAFKA_AUDIT_HEADS_TOPIC} is empty" in text
    assert "NOT COMPARED acme has no signed head" in text

    settings.KAFKA_AUDIT_HEADS_TOPIC = "no-such-topic"
    code, text = verify()
    assert code == 2
    assert "Kafka has no topic no-such-topic; run manage.py create_topics" in text


def test_it_says_so_when_the_topic_lost_a_head(signed: None, settings: Settings) -> None:
    written("acme", 1)
    settings.KAFKA_AUDIT_HEADS_TOPIC = "elsewhere-" + settings.KAFKA_AUDIT_HEADS_TOPIC
    bus.create_topics()
    audit_heads.publish(timezone.now())

    code, text = verify()
    assert (code, "has lost the head of globex at 5" in text) == (2, True)

    call_command("sign_audit_heads", "--again", stdout=io.StringIO())
    assert verify()[0] == 0


def test_chain_is_signed_again_when_the_key_is_another(signed: None, settings: Settings) -> None:
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = (("new", bytes(range(32))), *old)
    assert audit_heads.publish(timezone.now()).signed == ["acme", "globex"]
    assert verify()[0] == 0

    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    code, text = verify()
    assert code == 2
    assert "2 heads were not compared" in text
    tampering.remove(5)
    assert found() == [("tail_removed", "acme", 4)]


def test_chain_must_exist_when_it_is_named(audit_topics: None) -> None:
    with pytest.raises(CommandError, match="--chain takes a chain that has entries; nobody has none"):
        call_command("verify_audit", "--chain", "nobody", stdout=io.StringIO(), stderr=io.StringIO())
