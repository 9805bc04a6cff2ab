"""The publish API takes v1 beside CloudEvents, whatever the flag says, as the same events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventcenter.envelope import V1_BATCH_CONTENT_TYPE, V1_CONTENT_TYPE, parse_structured, to_v1
from eventcenter.flags import Flag
from eventcenter.models import FeatureFlag, OutboxMessage
from tests.eventcenter.sender import Sender, accepted, accepted_one, event, kept, refused
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db


def as_v1(sent: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(to_v1(parse_structured(json.dumps(sent).encode()))))


def post_v1(sender: Sender, *sent: dict[str, Any]) -> Any:
    """One alone or several as a batch; each is v1 already."""
    if len(sent) == 1:
        return sender.post(json.dumps(sent[0]).encode(), V1_CONTENT_TYPE)
    return sender.post(json.dumps(sent).encode(), V1_BATCH_CONTENT_TYPE)


@pytest.mark.parametrize("everyone", [True, False])
def test_v1_event_is_kept_as_the_cloudevent_it_is_whatever_the_flag_says(sender: Sender, everyone: bool) -> None:
    FeatureFlag.objects.update_or_create(name=Flag.EVENT_BUS_V2, defaults={"everyone": everyone})
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = event(tags="stable,eu", region="eu-1", tenant="acme", traceparent=trace)

    accepted_one(post_v1(sender, as_v1(sent)))

    assert json.loads(bytes(OutboxMessage.objects.get().body)) == sent | {"datacontenttype": "application/json"}


def test_v1_events_are_kept_when_they_come_as_a_batch(sender: Sender) -> None:
    receipts = accepted(post_v1(sender, *(as_v1(event()) for _ in range(3))))

    assert [receipt["duplicate"] for receipt in receipts] == [False] * 3


@pytest.mark.parametrize("first", ["v1", "v2"])
@pytest.mark.parametrize("changes", [{}, {"idempotencykey": "payments/2.4.1"}])
def test_event_is_a_duplicate_when_it_comes_in_both_forms(sender: Sender, first: str, changes: dict[str, str]) -> None:
    sent = event(**changes)
    ways = [lambda: post_v1(sender, as_v1(sent)), lambda: sender.structured(sent)]

    once, again = (accepted_one(way()) for way in (ways if first == "v1" else reversed(ways)))

    assert again == {"id": once["id"], "duplicate": True}
    assert kept() == (1, 1)


def test_wrong_members_are_named_in_v1_words(sender: Sender) -> None:
    wrong = as_v1(event()) | {"version": 2, "occurred_at": "soon"}

    assert refused(post_v1(sender, wrong), 400, "invalid-event") == [("version", None), ("occurred_at", None)]


def test_wrong_payload_is_named_in_v1_words_with_its_place_in_the_batch(sender: Sender) -> None:
    wrong = as_v1(event())
    wrong["payload"]["artifact"]["digest"] = "md5:1"

    found = refused(post_v1(sender, as_v1(event()), wrong), 400, "invalid-event")

    assert found == [("payload.artifact.digest", 1)]


def test_unknown_event_is_named_in_v1_words(sender: Sender) -> None:
    assert refused(post_v1(sender, as_v1(event(type="plugin.eaten"))), 422, "unknown-type") == [("event", None)]


def test_foreign_tenant_is_refused_when_v1_names_one(sender: Sender) -> None:
    TenantFactory(slug="globex")

    assert refused(post_v1(sender, as_v1(event(tenant="globex"))), 403, "foreign-tenant")[0] == ("tenant", None)
