from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from audit.trail import PLATFORM_CHAIN, Actor, record
from delivery.alerts import raise_alert
from delivery.console.overview import changes, page, plots, trouble
from delivery.console.overview.period import PERIODS
from delivery.console.overview.trouble import Trouble, Troubled
from delivery.console.overview.verdict import Facts, Fault, verdict
from delivery.models import AlertSeverity, Breaker, BreakerState
from delivery.objectives.report import Standing
from delivery.telemetry.sums import Sums
from eventcenter.access.roles import Role
from eventcenter.health import ROLES
from eventcenter.models import Heartbeat
from subscriptions.models import Endpoint, EndpointState, Tenant
from tests.delivery.console.test_objectives import Words
from tests.delivery.telemetry.counted import minute
from tests.factories import DeliveryFactory, EndpointFactory, TenantFactory, UserFactory

URL = "/console/"
LIVE = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "live"}
BY_MINUTE = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "by-minute"}
NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    page.forget()
    yield
    page.forget()


@pytest.fixture
def ops(client: Client, db: None) -> Client:
    client.force_login(UserFactory(is_superuser=True))
    return client


@pytest.fixture
def alive(db: None) -> None:
    for role in ROLES:
        Heartbeat.objects.create(role=role, instance="test:1", seen_at=timezone.now())


def counted(slug: str, ago: timedelta = timedelta(minutes=5), **counts: int) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first() or TenantFactory(slug=slug)
    at = (timezone.now() - ago).replace(second=0, microsecond=0)
    minute(at, endpoint_id=tenant.pk, tenant_id=tenant.pk, **counts)
    assert isinstance(tenant, Tenant)
    return tenant


def alarm(kind: str, summary: str, endpoint: Endpoint | None = None) -> None:
    """An open alert, of an endpoint or of the platform."""
    about = {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk} if endpoint else {}
    key = f"{kind}:{endpoint.pk if endpoint else ''}"
    raise_alert(kind, key, AlertSeverity.CRITICAL, summary, timezone.now(), **about)


def words(response: Any) -> str:
    assert response.status_code == 200
    return str(Words(response.content.decode()))


# --- the page ---


def test_home_leads_here(ops: Client) -> None:
    assert ops.get("/").headers["Location"] == URL
    assert f'<a href="{URL}" aria-current="page">Overview</a>' in ops.get(URL).content.decode()


@pytest.mark.parametrize("user", [None, {"roles": ()}])
def test_only_people_with_a_role_see_it(client: Client, db: None, user: dict[str, tuple[()]] | None) -> None:
    counted("acme", attempts=1)
    if user is not None:
        client.force_login(UserFactory(**user))
    response = client.get(URL)
    assert response.status_code in (302, 403)
    assert "acme" not in response.content.decode()


def test_each_objective_is_told_with_its_target_and_the_way_to_its_cause(ops: Client, alive: None) -> None:
    counted("good", attempts=100, first_attempts=100, first_delivered=97, delivered=100)
    counted("weak", attempts=100, first_attempts=100, first_delivered=40, delivered=50, dead=50, duplicates=2)
    response = ops.get(URL)
    said, html = words(response), response.content.decode()
    assert "68.50 % Missed target ≥ 97 % 137 of 200" in said
    assert "75.00 % Missed target ≥ 99.5 % 150 of 200" in said
    assert "1.00 % Missed target < 0.5 % 2 of 200" in said
    assert "none Met target ≤ 1 m" in said
    assert "Backlog 0" in said
    assert html.index('data-row="weak"') < html.index('data-row="good"'), "the worst comes first"
    assert "/console/deliveries?tenant=weak&amp;status=dead" in html
    assert html.count('role="img"') == 4
    assert "Look closer nothing is down, but over the last hour: initial success 68.50 %" in said


@pytest.mark.parametrize(("period", "tenants"), [("1h", 1), ("24h", 2), ("7d", 3), ("", 1), ("year", 1), ("%00", 1)])
def test_period_says_how_far_back_it_looks(ops: Client, period: str, tenants: int) -> None:
    for slug, ago in (("now", 5 * MINUTE), ("today", timedelta(hours=5)), ("this-week", timedelta(days=5))):
        counted(slug, ago, attempts=1, first_attempts=1)
    html = ops.get(f"{URL}?period={period}", **BY_MINUTE).content.decode()
    assert sum(f'data-row="{slug}"' in html for slug in ("now", "today", "this-week")) == tenants


def test_one_tenant_is_shown_alone_when_it_is_chosen(ops: Client) -> None:
    counted("acme", attempts=10, first_attempts=10, first_delivered=10)
    rival = counted("rival", attempts=10, first_attempts=10)
    Breaker.objects.create(endpoint_id=EndpointFactory(tenant=rival, slug="their-sink").pk, tenant_id=rival.pk,
                           state=BreakerState.OPEN, opened_at=timezone.now())  # fmt: skip
    assert "their-sink" in words(ops.get(URL))
    chosen = words(ops.get(f"{URL}?tenant=acme"))
    assert "100.00 % Met target ≥ 97 % 10 of 10" in chosen
    assert "their-sink" not in chosen
    assert "Consumer lag" not in chosen
    assert "10 of 20" in words(ops.get(f"{URL}?tenant=nobody")), "what is no tenant is as good as none"


def test_viewer_sees_ones_own_tenant_and_nothing_of_the_platform(client: Client, alive: None) -> None:
    mine, theirs = (
        counted("mine", attempts=8, first_attempts=8, first_delivered=8),
        counted("theirs", attempts=8, first_attempts=8),
    )
    endpoint = EndpointFactory(tenant=theirs, slug="their-sink")
    alarm("failure_rate", "their-sink fails", endpoint)
    alarm("consumer_lag", "10,001 messages wait")
    record("theirs", Actor("user:eve"), "endpoint.paused", f"endpoint:{endpoint.pk}")
    record("mine", Actor("user:eve"), "endpoint.paused", "endpoint:0")
    client.force_login(UserFactory(roles=[(mine, Role.VIEWER)]))
    for query in ("", "?tenant=theirs", "?tenant=mine&period=24h"):
        said = words(client.get(f"{URL}{query}"))
        assert "8 of 8" in said
        for hidden in (
            "theirs",
            "their-sink",
            "messages wait",
            "Consumer lag",
            "Changed lately",
            "user:eve",
            "eve paused",
        ):
            assert hidden not in said
        assert "All is well" in said


def test_tenant_admin_is_told_the_changes_of_ones_own_tenants(client: Client, alive: None) -> None:
    mine = TenantFactory(slug="mine")
    record("mine", Actor("user:eve"), "endpoint.paused", f"endpoint:{EndpointFactory(tenant=mine, slug='sink').pk}")
    record("mine", Actor("system:sweep"), "endpoint.failing", "endpoint:1")
    record(PLATFORM_CHAIN, Actor("user:root"), "user.created", "user:bob")
    client.force_login(UserFactory(roles=[(mine, Role.TENANT_ADMIN)]))
    said = words(client.get(URL, **LIVE))
    assert "eve paused endpoint sink mine" in said
    assert "bob" not in said
    assert "sweep" not in said


def test_page_says_how_it_fills_when_nothing_was_ever_delivered(ops: Client, alive: None) -> None:
    said = words(ops.get(URL))
    assert "Nothing was delivered yet" in said
    assert "All is well nothing was sent within the last hour" in said
    DeliveryFactory()
    assert "Nothing was delivered yet" not in words(ops.get(URL))


def test_polls_bring_their_part_alone(ops: Client) -> None:
    counted("acme", attempts=1, first_attempts=1)
    now, later = ops.get(URL, **LIVE).content.decode(), ops.get(f"{URL}?period=24h", **BY_MINUTE).content.decode()
    assert now.lstrip().startswith('<div id="live"')
    assert "plot-picture" not in now
    assert later.lstrip().startswith('<div id="by-minute"')
    assert 'hx-get="/console/?period=24h"' in later


def test_page_costs_the_same_queries_however_much_there_is(ops: Client, django_assert_num_queries: Any) -> None:
    for number in range(4):
        tenant = counted(f"tenant-{number}", attempts=1, first_attempts=1)
        for place in range(3):
            endpoint = EndpointFactory(tenant=tenant, slug=f"sink-{place}")
            Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=tenant.pk, state=BreakerState.OPEN)
            alarm("breaker_open", "open", endpoint)
            record(tenant.slug, Actor("user:eve"), "endpoint.paused", f"endpoint:{endpoint.pk}")
    ops.get(URL)
    page.forget()
    # Session, user, roles; tenants, sums, alerts, breakers, endpoints, heartbeats, offsets of the bus, the trail (two), its names
    # (two), steps; of the frame: due keys, alerts that fire. Besides them, on the driver's own connection: what waits (two),
    # what is held, the platform's gauges (five).
    with django_assert_num_queries(COLD_QUERIES):
        ops.get(URL)
    with django_assert_num_queries(POLL_QUERIES):
        ops.get(URL, **LIVE)


COLD_QUERIES, POLL_QUERIES = 16, 11


# --- endpoints in trouble ---


def troubles() -> list[tuple[str, str]]:
    return [(each.endpoint.slug, each.word) for each in trouble.troubled(None, page.open_alerts(SCOPE))]


SCOPE: Any = SimpleNamespace(tenants=None)


def test_endpoints_in_trouble_come_the_worst_first(db: None) -> None:
    now = timezone.now()

    def made(slug: str, state: str = EndpointState.ENABLED, **breaker: Any) -> Endpoint:
        endpoint: Endpoint = EndpointFactory(slug=slug, state=state)
        if breaker:
            Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, **breaker)
        return endpoint

    made("well")
    made("recovered", state="enabled", consecutive=0, closed_at=now)
    made("hiccup", consecutive=1, failing_since=now)
    made("paused", EndpointState.PAUSED)
    made("failing", consecutive=5, failing_since=now - MINUTE)
    made("failing-longer", consecutive=5, failing_since=now - 9 * MINUTE)
    made("half", consecutive=1, opened_at=now)
    Breaker.objects.filter(endpoint_id=Endpoint.objects.get(slug="half").pk).update(state=BreakerState.HALF_OPEN)
    made("disabled", EndpointState.DISABLED)
    open_ = made("open", consecutive=9, opened_at=now)
    Breaker.objects.filter(endpoint_id=open_.pk).update(state=BreakerState.OPEN)
    slow = made("slow")
    alarm("latency", "slow", slow)
    assert troubles() == [
        ("open", "Breaker open"),
        ("disabled", "Disabled"),
        ("half", "Half-open"),
        ("failing-longer", "Failing"),
        ("failing", "Failing"),
        ("slow", "Alert open"),
        ("paused", "Paused"),
    ]


def test_backlog_of_an_endpoint_is_what_is_held_for_it(ops: Client) -> None:
    delivery = DeliveryFactory(held_reason="breaker_open", subscription__endpoint__state="paused")
    DeliveryFactory()
    assert trouble.held([Troubled(delivery.endpoint, Trouble.PAUSED, None, "", None)]) == {delivery.endpoint_id: 1}
    assert "1 held" in words(ops.get(URL, **LIVE))


# --- processes ---


def test_missing_processes_are_told_with_when_they_were_last_seen(ops: Client, alive: None) -> None:
    Heartbeat.objects.filter(role="consumer").update(seen_at=timezone.now() - 9 * MINUTE)
    Heartbeat.objects.create(role="pager", instance="test:1", seen_at=timezone.now() - timedelta(days=2))
    Heartbeat.objects.create(role="replays", instance="test:1", seen_at=timezone.now() - timedelta(hours=2))
    assert list(page.missing_processes(timezone.now())) == ["consumer", "replays"]
    said = words(ops.get(URL, **LIVE))
    assert "It is us no sign of life from consumer and replays" in said
    assert "Missing consumer last seen 9 m" in said
    assert "Affected: everybody" in said


# --- the sentence ---


def endpoint(slug: str, tenant: str, kind: Trouble, since: datetime | None = NINE) -> Troubled:
    row: Any = SimpleNamespace(slug=slug, tenant=SimpleNamespace(slug=tenant))
    return Troubled(row, kind, since, "", None)


def facts(**more: Any) -> Facts:
    plain: dict[str, Any] = {
        "missing": {},
        "ours": [],
        "troubled": [],
        "tenant_alerts": [],
        "missed": [],
        "late_s": None,
        "is_counted": True,
        "period": "the last hour",
    }
    return Facts(**plain | more)


OPEN = endpoint("ci", "acme", Trouble.OPEN, NINE + MINUTE)
MISSED = [each for each in Standing("", Sums(first_attempts=2, first_delivered=1)).objectives if each.met is False]


@pytest.mark.parametrize(
    ("told", "fault", "said", "since", "affected"),
    [
        ({}, Fault.NOBODY, "every objective is met, no endpoint is in trouble, every process is there", None, ""),
        ({"is_counted": False}, Fault.NOBODY, "nothing was sent within the last hour, no endpoint", None, ""),
        ({"troubled": [endpoint("x", "t", Trouble.PAUSED)]}, Fault.NOBODY, "1 endpoint paused by hand", None, ""),
        ({"troubled": [OPEN]}, Fault.THEIRS, "acme/ci is not taking deliveries", NINE + MINUTE, "acme"),
        (
            {"troubled": [OPEN, endpoint("x", "rival", Trouble.FAILING)]},
            Fault.THEIRS,
            "acme/ci is not taking deliveries, and 1 other in trouble",
            NINE,
            "acme and rival",
        ),
        ({"missing": {"relay": NINE}}, Fault.OURS, "no sign of life from relay", NINE, "everybody"),
        ({"missing": {"relay": None}}, Fault.OURS, "no sign of life from relay", None, "everybody"),
        ({"ours": [(NINE, "Lag")]}, Fault.OURS, "Lag", NINE, "everybody"),
        ({"late_s": 99.0}, Fault.OURS, "deliveries that could go are waiting", None, "everybody"),
        ({"missing": {"relay": NINE}, "troubled": [OPEN]}, Fault.BOTH, "relay; acme/ci is not", NINE, "everybody"),
        ({"missed": MISSED}, Fault.UNKNOWN, "over the last hour: initial success 50.00 %, target ≥ 97 %", None, ""),
        ({"tenant_alerts": [(NINE, "acme: 9 % fail")]}, Fault.UNKNOWN, "acme: 9 % fail", NINE, ""),
        (
            {"troubled": [endpoint(str(place), "t", Trouble.DISABLED) for place in range(5)]},
            Fault.THEIRS,
            "t/0, t/1, t/2 and 2 more are disabled",
            NINE,
            "t",
        ),
    ],
)
def test_sentence_says_whose_fault_it_is_since_when_and_who_is_affected(
    told: dict[str, Any], fault: Fault, said: str, since: datetime | None, affected: str
) -> None:
    found = verdict(facts(**told))
    assert said in found.words
    assert (found.fault, found.since, found.affected) == (fault, since, affected)


# --- changes ---


@pytest.mark.parametrize(
    ("action", "target", "details", "said"),
    [
        ("endpoint.paused", "endpoint:7", {}, "eve paused endpoint sink"),
        ("endpoint.changed", "endpoint:8", {"slug": "gone"}, "eve edited endpoint gone"),
        ("endpoint.secret_rotated", "endpoint:7", {}, "eve rotated the signing key of endpoint sink"),
        ("breaker.opened", "endpoint:7", {}, "eve opened the breaker of endpoint sink"),
        ("subscription.changed", "subscription:3", {}, "eve edited subscription releases"),
        ("delivery.replayed", "delivery:018f0000-0000-7000-8000-00000000abcd", {}, "eve replayed delivery 0000abcd"),
        ("approval.approved", "approval:018f0000-0000-7000-8000-00000000abcd", {}, "eve approved approval 0000abcd"),
        ("odd.thing_done", "odd", {}, "eve thing done odd"),
    ],
)
def test_changes_are_told_in_words(action: str, target: str, details: dict[str, str], said: str) -> None:
    entry = AuditEntry(chain="acme", at=NINE, actor="user:eve", action=action, target=target, details=details)
    (found,) = changes.told([entry], changes.Names({7: "sink"}, {3: "releases"}))
    assert f"{found.who} {found.what} {found.to}" == said
    assert found.tenant == "acme"


@pytest.mark.parametrize(("actor", "said"), [("user:eve", "eve"), ("key:ak_1", "key ak_1"), ("nobody", "nobody")])
def test_actor_is_told_without_its_kind_when_it_is_a_person(actor: str, said: str) -> None:
    assert changes.who(actor) == said


# --- periods and charts ---


@pytest.mark.parametrize(("key", "count"), [("1h", 60), ("24h", 98), ("7d", 85)])
def test_span_ends_with_the_last_full_minute_and_its_steps_do_not_move(key: str, count: int) -> None:
    period, now = PERIODS[key], datetime(2026, 3, 2, 10, 17, 30, tzinfo=UTC)
    span = period.span(now)
    assert span.until == now.replace(second=0)
    assert span.until - span.since >= period.length
    assert -(-(span.until - span.since) // period.step) == count
    later = period.span(now + period.begins)
    assert (later.since - span.since) % period.step == timedelta(0)


def test_rates_are_of_the_minutes_that_were_counted_when_the_last_step_is_short() -> None:
    quarter = timedelta(minutes=15)
    steps = {NINE: Sums(delivered=30, first_attempts=30), NINE + quarter: Sums(delivered=10, first_attempts=5)}
    plot = plots.throughput(steps, quarter, NINE + quarter + 5 * MINUTE)
    assert [list(series.values) for series in plot.series] == [[2.0, 2.0], [2.0, 1.0]]


def test_shares_and_percentiles_have_gaps_where_nothing_was_counted() -> None:
    buckets = (0, 0, 10, *[0] * 10)
    steps = {NINE: Sums(), NINE + MINUTE: Sums(first_attempts=4, first_delivered=3, latency_buckets=buckets)}
    assert [list(each.values) for each in plots.success(steps, MINUTE).series] == [[None, 0.75], [None, None]]
    assert [each.values[0] for each in plots.latency(steps, MINUTE).series] == [None, None, None]
    assert [round(each.values[1] or 0) for each in plots.latency(steps, MINUTE).series] == [18, 24, 25]
    drawn = plots.charts(steps, MINUTE, NINE + 2 * MINUTE)
    assert [chart.key for chart in drawn] == ["throughput", "success", "latency", "trouble"]
