from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from eventcenter import row_security
from eventcenter.lookup import matching_events
from eventcenter.models import Event
from eventcenter.search import Sought, sought
from tests import factories

pytestmark = pytest.mark.django_db

TRACE = "0af7651916cd43dd8448eb211c80319c"


def seconds_ago(count: int) -> datetime:
    """Ids of one millisecond have no order among them."""
    return timezone.now() - timedelta(seconds=count)


def test_events_are_found_newest_first_when_their_release_is_named() -> None:
    tenant = factories.TenantFactory()
    made = [
        factories.EventFactory(tenant=tenant, subject="search", version=version, accepted_at=seconds_ago(3 - place))
        for place, version in enumerate(("1.0.0", "1.1.0", "1.0.0"))
    ]
    factories.EventFactory(subject="other", version="1.0.0", tenant=tenant)

    def ids(text: str) -> list[UUID]:
        return [pk for pk, _ in matching_events(sought(text), None)]

    assert ids("search") == [event.pk for event in reversed(made)]
    assert ids("search@1.0.0") == [made[2].pk, made[0].pk]
    assert len(ids("1.0.0")) == 3
    assert ids("sear") == []


@pytest.mark.parametrize("form", ["00-{}-00f067aa0ba902b7-01", "{}"])
def test_events_of_a_trace_are_found_when_it_is_given(form: str) -> None:
    traced = factories.EventFactory(traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    factories.EventFactory(traceparent=f"00-{TRACE[::-1]}-b7ad6b7169203331-01")

    assert matching_events(sought(form.format(TRACE)), None) == [(traced.pk, traced.tenant_id)]


def test_event_is_found_by_its_id_with_and_without_dashes() -> None:
    event = factories.EventFactory()

    assert matching_events(Sought(id=event.pk), None) == [(event.pk, event.tenant_id)]
    assert matching_events(sought(event.pk.hex), None) == [(event.pk, event.tenant_id)]


def test_only_the_given_tenants_events_are_found() -> None:
    ours, theirs = factories.EventFactory(subject="shared"), factories.EventFactory(subject="shared")

    assert matching_events(sought("shared"), [ours.tenant_id]) == [(ours.pk, ours.tenant_id)]
    assert matching_events(sought("shared"), []) == []
    assert matching_events(Sought(id=theirs.pk), [ours.tenant_id]) == []


def test_page_ends_and_the_next_begins_where_it_is_told() -> None:
    made = [factories.EventFactory(subject="paged", accepted_at=seconds_ago(3 - place)) for place in range(3)]

    first = matching_events(sought("paged"), None, most=2)
    assert [pk for pk, _ in first] == [made[2].pk, made[1].pk]
    assert [pk for pk, _ in matching_events(sought("paged"), None, before=first[-1][0])] == [made[0].pk]


def test_nothing_is_found_when_nothing_is_sought(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    factories.EventFactory()

    with django_assert_num_queries(0):
        assert matching_events(Sought(), None) == []


@pytest.mark.parametrize(
    ("lookup", "index"),
    [
        ({"subject": "search"}, "subject_version_idx"),
        ({"subject": "search", "version": "1.0.0"}, "subject_version_idx"),
        ({"version": "1.0.0"}, "subject_version_idx"),
        ({"trace": UUID(TRACE)}, "trace_idx"),
    ],
)
def test_index_can_be_used_when_row_security_applies(lookup: dict[str, object], index: str) -> None:
    event = factories.EventFactory()
    rows = Event.objects.filter(**lookup).values_list("pk")
    with row_security.scoped([event.tenant_id]):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = rows.explain()

    assert index in plan
    assert "Index Cond" in plan
