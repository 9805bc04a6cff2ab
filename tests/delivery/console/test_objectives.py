from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from delivery.console.objectives import CHART_HEIGHT, SHOWN_MOST, bars, by_step
from delivery.objectives.reading import Span
from delivery.telemetry.sums import HOUR, Sums
from eventcenter.access.roles import Role
from subscriptions.models import Tenant
from tests.delivery.telemetry.counted import minute
from tests.factories import TenantFactory, UserFactory

pytestmark = pytest.mark.django_db
URL = "/console/objectives"
PAGE_QUERIES = 8  # session, user, roles; counters by tenant and by hour; names of tenants; due keys; alerts that fire
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def ops(client: Client) -> Client:
    client.force_login(UserFactory())
    return client


def counted(slug: str, ago: timedelta = timedelta(minutes=5), **counts: int) -> Tenant:
    tenant: Tenant = TenantFactory(slug=slug)
    at = (timezone.now() - ago).replace(second=0, microsecond=0)
    minute(at, endpoint_id=tenant.pk, tenant_id=tenant.pk, **counts)
    return tenant


def shown(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


class Words(HTMLParser):
    """What a page says, without its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.found += data.split()

    def __str__(self) -> str:
        return " ".join(self.found)


@pytest.mark.parametrize("user", [None, {"roles": ()}])
def test_only_people_with_a_role_see_the_objectives(client: Client, user: dict[str, tuple[()]] | None) -> None:
    counted("acme", attempts=1)
    if user is not None:
        client.force_login(UserFactory(**user))
    response = client.get(URL)
    assert response.status_code in (302, 403)
    assert "acme" not in response.content.decode()


def test_each_objective_is_told_with_its_target_and_whether_it_is_met(ops: Client) -> None:
    counted("good", attempts=100, first_attempts=100, first_delivered=97, delivered=100)
    counted("weak", attempts=100, first_attempts=100, first_delivered=40, delivered=50, dead=50, duplicates=2)
    page = shown(ops.get(URL))
    words = str(Words(page))
    assert "68.50 % Missed target ≥ 97 % 137 of 200" in words
    assert "75.00 % Missed target ≥ 99.5 % 150 of 200" in words
    assert "1.00 % Missed target < 0.5 % 2 of 200" in words
    assert "Met target ≤ 5 s p50" in words
    assert page.index('data-row="weak"') < page.index('data-row="good"'), "who misses comes first"
    assert "2 tenants, 1 with an objective missed" in words
    assert f'<a href="{URL}" aria-current="page">Objectives</a>' in page


def test_viewer_sees_ones_own_tenants_alone(client: Client) -> None:
    mine = counted("mine", attempts=100, first_attempts=100, first_delivered=100)
    counted("theirs", attempts=100, first_attempts=100)
    client.force_login(UserFactory(roles=[(mine, Role.VIEWER)]))
    page = shown(client.get(URL))
    assert "theirs" not in page
    assert "100 of 100" in page
    assert "200" not in str(Words(page)).replace("2026", "")
    assert 'class="missed"' not in page, "the chart is of one's own, too"


def test_period_says_how_far_back_it_looks(ops: Client) -> None:
    counted("today", attempts=1, first_attempts=1)
    counted("last-week", ago=timedelta(days=5), attempts=1)
    counted("last-month", ago=timedelta(days=20), attempts=1)
    found = {days: shown(ops.get(f"{URL}?days={days}")).count("data-row=") for days in (1, 7, 30)}
    assert found == {1: 1, 7: 2, 30: 3}
    assert shown(ops.get(URL)).count("data-row=") == 2
    assert 'aria-current="true">30 days' in shown(ops.get(f"{URL}?days=30"))


@pytest.mark.parametrize("days", ["0", "8", "week", "", "%00"])
def test_another_period_leads_back_to_the_page(ops: Client, days: str) -> None:
    response = ops.get(f"{URL}?days={days}")
    assert (response.status_code, response.headers["Location"]) == (302, URL)


def test_page_says_how_it_fills_when_nothing_was_counted(ops: Client) -> None:
    page = shown(ops.get(URL))
    assert "Nothing was delivered in this time" in page
    assert "<svg" not in page


def test_page_costs_the_same_queries_however_many_tenants(ops: Client, django_assert_num_queries: Any) -> None:
    for number in range(6):
        counted(f"tenant-{number}", attempts=1, first_attempts=1)
    with django_assert_num_queries(PAGE_QUERIES):
        ops.get(f"{URL}?days=30")


def test_list_is_cut_when_there_are_very_many_tenants(ops: Client) -> None:
    at = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    for number in range(SHOWN_MOST + 2):
        minute(at, endpoint_id=number, tenant_id=10_000 + number, attempts=1)
    page = shown(ops.get(URL))
    assert page.count("data-row=") == SHOWN_MOST
    assert "2 more are not shown" in str(Words(page))


# --- the chart ---


def test_bars_stand_side_by_side_each_with_its_words() -> None:
    hours = {
        NINE: Sums(first_attempts=100, first_delivered=100),
        NINE + HOUR: Sums(first_attempts=100, first_delivered=50),
    }
    made = bars(by_step(hours, Span(NINE, NINE + 3 * HOUR), HOUR), HOUR)
    assert [bar.tone for bar in made] == ["met", "missed", "none"]
    assert [bar.x + bar.width < after.x for bar, after in itertools.pairwise(made)] == [True, True]
    assert (made[0].y, made[0].height) == (0, CHART_HEIGHT)
    assert 0 < made[1].height < 5
    assert made[1].words == "2026-03-02 10:00 UTC: 50.00 %, 50 of 100, missed"
    assert made[2].words == "2026-03-02 11:00 UTC: nothing counted"


def test_days_hold_their_hours() -> None:
    hours = {NINE + place * HOUR: Sums(attempts=1) for place in range(48)}
    made = by_step(hours, Span(NINE, NINE + timedelta(days=2, minutes=5)), timedelta(days=1))
    assert [sums.attempts for sums in made.values()] == [24, 24, 0]
