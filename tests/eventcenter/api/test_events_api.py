from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from eventcenter.access.roles import Role
from eventcenter.models import EventType
from subscriptions.models import Tenant
from tests.api_caller import fields, signed_in, with_key
from tests.factories import EventFactory, RejectedEventFactory, TenantFactory, event_id_at

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Tenant:
    return TenantFactory(slug="acme")


def test_event_is_shown_whole_and_listed_without_its_body(acme: Tenant) -> None:
    event, eva = EventFactory(tenant=acme), signed_in((acme, Role.VIEWER))
    EventFactory()
    whole = eva.get(f"events/{event.pk}").json()
    assert whole["cloudevent"] == json.loads(event.body)
    (listed,) = eva.get("events?type=plugin.release.published").json()["items"]
    assert listed == {name: value for name, value in whole.items() if name != "cloudevent"}
    assert eva.get("events?subject=other").json()["items"] == []


def test_events_of_a_trace_are_listed_whatever_their_day(acme: Tenant) -> None:
    now = timezone.now()
    trace = "00-" + "ab" * 16 + "-b7ad6b7169203331-01"
    old = EventFactory(tenant=acme, traceparent=trace, id=event_id_at(now - timedelta(days=3)))
    new, _ = EventFactory(tenant=acme, traceparent=trace), EventFactory(tenant=acme)
    eva = signed_in((acme, Role.VIEWER))

    def listed(**query: str) -> list[str]:
        answer = eva.get(f"events?{urlencode({'trace_id': 'ab' * 16} | query)}").json()
        assert {item["trace_id"] for item in answer["items"]} <= {"ab" * 16}
        return [item["id"] for item in answer["items"]]

    assert listed() == [str(new.pk), str(old.pk)]
    assert listed(since=(now - timedelta(days=2)).isoformat()) == [str(new.pk)]
    assert listed(until=(now - timedelta(days=2, hours=23)).isoformat()) == [str(old.pk)]
    assert list(fields(eva.get("events?trace_id=AB"), 400)) == ["trace_id"]


def test_event_types_are_listed_with_their_schema(acme: Tenant, event_types: list[EventType]) -> None:
    program = with_key(acme, "view")
    (found,) = program.get("event-types?name=plugin.release.published&active=true").json()["items"]
    assert program.get(f"event-types/{found['id']}").json() == found
    assert found["schema"]["type"] == "object"
    assert program.get("event-types/999999").status_code == 404
    assert with_key(acme, "publish").get("event-types").status_code == 403


def test_rejected_events_of_no_known_tenant_are_the_platforms(acme: Tenant) -> None:
    own, lost = RejectedEventFactory(tenant_slug="acme"), RejectedEventFactory(tenant_slug="nobody")
    eva, ops = signed_in((acme, Role.VIEWER)), signed_in((None, Role.VIEWER))
    assert [item["id"] for item in eva.get("rejected-events").json()["items"]] == [str(own.pk)]
    assert eva.get(f"rejected-events/{own.pk}").json()["value"] == "{}"
    assert eva.get(f"rejected-events/{lost.pk}").status_code == 404
    assert ops.get(f"rejected-events/{lost.pk}").status_code == 200
    assert list(fields(eva.get("rejected-events?reason=bad"), 400)) == ["reason"]
