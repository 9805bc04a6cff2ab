"""What the ingest keeps aside: no message is dropped, whatever it holds."""

from __future__ import annotations

import json

import orjson
import pytest
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delivery.ingest import set_aside
from delivery.models import Delivery
from eventcenter import registry
from eventcenter.consumer import BusMessage
from eventcenter.decode import Candidate, Rejection, decode
from eventcenter.models import Event, EventType, IngestCounter, RejectedEvent
from tests.delivery.bus_messages import ingest_now, on_bus, raw, release, structured_on_bus
from tests.factories import SubscriptionFactory, TenantFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("event_types", "empty_queues")]


@pytest.fixture
def acme() -> str:
    """A tenant with one subscription to releases."""
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="acme"))
    return "acme"


def counted() -> dict[str, int]:
    names = ("ingested", "duplicates", "rejected", "planned")
    return IngestCounter.objects.aggregate(**{name: Sum(name) for name in names})


def rejected_one() -> RejectedEvent:
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()
    assert counted()["rejected"] == 1
    return RejectedEvent.objects.get()


def test_message_is_kept_with_its_bytes_when_it_is_not_an_event(acme: str) -> None:
    value = b"\x00\xff{not json\x00"
    headers = [("ce_id", b"1"), ("x-note", b"\xff\xfe"), ("x-nul", b"a\0b"), ("x\0name", b"ok"), ("x-none", None)]
    message = raw(value, headers, key=b"\0key\xff")
    ingest_now(message)
    row = rejected_one()
    assert (row.reason, row.topic) == ("unreadable", "events")
    assert (row.kafka_partition, row.kafka_offset) == (2, message.offset)
    assert (bytes(row.value), bytes(row.key or b"")) == (value, b"\0key\xff")
    assert row.headers == [
        ["ce_id", "1"],
        ["x-note", "base64://4="],
        ["x-nul", "base64:YQBi"],
        ["x\ufffdname", "ok"],
        ["x-none", None],
    ]


def test_detail_names_the_wrong_fields_when_the_schema_is_broken(acme: str) -> None:
    data = orjson.loads(release(acme).data) | {"version": "not a version", "channel": 7}
    ingest_now(on_bus(release(acme, data=orjson.dumps(data))))
    row = rejected_one()
    assert (row.reason, row.tenant_slug) == ("invalid", acme)
    assert "data.version" in row.detail
    assert "data.channel" in row.detail


def test_message_is_kept_aside_when_its_data_names_another_tenant(acme: str) -> None:
    TenantFactory(slug="globex")
    ingest_now(on_bus(release(acme, data=release("globex").data)))
    assert "data.tenant" in rejected_one().detail


@pytest.mark.parametrize("tenant", ["nobody", None])
def test_message_is_kept_aside_when_its_tenant_is_unknown(acme: str, tenant: str | None) -> None:
    ingest_now(on_bus(release(acme, tenant=tenant)))
    row = rejected_one()
    assert (row.reason, row.tenant_slug) == ("unknown_tenant", tenant or "")


def test_message_is_kept_aside_when_its_tenant_is_not_active(acme: str) -> None:
    SubscriptionFactory(endpoint__tenant=TenantFactory(slug="gone-inc", active=False))
    ingest_now(on_bus(release("gone-inc")))
    assert rejected_one().reason == "unknown_tenant"


def test_message_is_kept_aside_when_its_type_is_unknown(acme: str) -> None:
    ingest_now(on_bus(release(acme, type="plugin.release.exploded")))
    assert rejected_one().reason == "unknown_type"


def test_message_is_kept_aside_when_its_type_is_no_longer_active(acme: str) -> None:
    EventType.objects.filter(name="plugin.release.published").update(active=False)
    ingest_now(on_bus(release(acme)))
    assert rejected_one().reason == "unknown_type"


def test_message_is_kept_aside_when_it_is_empty(acme: str) -> None:
    ingest_now(raw(b""))
    assert rejected_one().reason == "unreadable"


def test_the_good_ones_go_on_when_one_of_the_batch_is_bad(acme: str) -> None:
    done = ingest_now(on_bus(release(acme)), raw(b"nonsense"), on_bus(release(acme)))
    assert (done.events, done.rejected, done.deliveries) == (2, 1, 2)
    assert counted() == {"ingested": 2, "duplicates": 0, "rejected": 1, "planned": 2}


def test_message_is_kept_aside_when_the_database_cannot_store_it(acme: str) -> None:
    message = on_bus(release(acme))
    positions = set_aside(message, "no\0good", lambda messages: {("events", 0): messages[0].offset + 1})
    row = rejected_one()
    assert (row.reason, row.detail, bytes(row.value)) == ("unstorable", "nogood", message.value)
    assert positions == {("events", 0): message.offset + 1}


HEADER_NAMES = st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_specversion", "ce_tenant", "ce_tags", "ce_time"])
HEADERS = st.lists(
    st.tuples(st.one_of(HEADER_NAMES, st.just("content-type"), st.text(max_size=8)), st.none() | st.binary(max_size=20))
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def _json_bytes(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headers=HEADERS, value=st.one_of(st.binary(max_size=200), JSON.map(_json_bytes)))
def test_message_is_kept_aside_whatever_it_holds(
    acme: str, headers: list[tuple[str, bytes | None]], value: bytes
) -> None:
    with transaction.atomic():
        done = ingest_now(BusMessage("events", 0, 1, None, headers, value))
        assert (done.events, done.rejected) == (0, 1)
        assert bytes(RejectedEvent.objects.latest("id").value) == value
        transaction.set_rollback(True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["id", "subject", "source", "time", "tags", "traceparent", "myextension"]), text=st.text())
def test_attribute_is_stored_or_kept_aside_whatever_it_holds(acme: str, name: str, text: str) -> None:
    event = orjson.loads(structured_on_bus(release(acme)).value)
    value = _json_bytes(event | {name: text})
    with transaction.atomic():
        done = ingest_now(raw(value, [("content-type", b"application/cloudevents+json")]))
        assert done.events + done.rejected == 1
        transaction.set_rollback(True)


def test_decoding_gives_a_value_when_the_bytes_are_deeply_nested() -> None:
    message = raw(b'{"specversion":"1.0","data":' + b"[" * 200_000)
    found = decode(message, registry.schemas.get(), lambda _: 1, timezone.now())
    assert isinstance(found, Candidate | Rejection)
