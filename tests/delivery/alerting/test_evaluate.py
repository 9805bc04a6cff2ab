from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from delivery.alerting.evaluate import EVERY, GAP, Evaluator, PartlyFailed
from delivery.alerts import raise_alert
from delivery.models import Alert, AlertRule, AlertSeverity, Breaker
from eventcenter.models import Heartbeat, OutboxMessage, PublishRefusalCounter
from subscriptions.models import Endpoint, EndpointState
from tests.delivery.alerting.scene import NOW, Clock, alerts, at, beat, count, latencies, rule
from tests.factories import EndpointFactory, TenantFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint(db: None) -> Endpoint:
    made: Endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), slug="ci-cd")
    return made


def fail(endpoint: Endpoint, minute: int, failed: int = 10, attempts: int = 100) -> None:
    count(endpoint, at(60 * minute), attempts=attempts, failed=failed)


def test_tenth_of_failures_fires_within_a_minute_of_the_window_and_resolves_once(
    clock: Clock, endpoint: Endpoint
) -> None:
    """All was well until minute 0; from then on a tenth fails, for ten minutes; then all is well again."""
    for minute in range(-10, 6):
        fail(endpoint, minute, failed=10 if minute >= 0 else 0)
        clock.until(at(60 * minute + 60))
    alert = Alert.objects.get()
    assert (alert.kind, alert.state, alert.severity) == ("failure_rate", "firing", "critical")
    assert alert.fired_at is not None
    assert timedelta() < alert.fired_at - NOW <= timedelta(minutes=6)
    assert alert.summary == "acme/ci-cd: 6.67 % of its attempts failed within 5 min"
    assert alert.details == {
        "value": 0.1,
        "threshold": 0.05,
        "unit": "share",
        "window_s": 300,
        "count": 600,
    }

    for minute in range(6, 17):
        fail(endpoint, minute, failed=10 if minute < 10 else 0)
        clock.until(at(60 * minute + 60))

    alert.refresh_from_db()
    assert (Alert.objects.count(), alert.state) == (1, "resolved")
    assert alert.resolved_at is not None
    assert at(14 * 60) < alert.resolved_at < at(16 * 60)
    assert list(AuditEntry.objects.order_by("pk").values_list("chain", "action")) == [
        ("acme", "alert.raised"),
        ("acme", "alert.resolved"),
    ]


def test_six_percent_fires_within_a_minute_of_the_window(clock: Clock, endpoint: Endpoint) -> None:
    for minute in range(-10, 6):
        fail(endpoint, minute, failed=6 if minute >= 0 else 0)
        clock.until(at(60 * minute + 60))
    assert alerts() == [(f"failure_rate:{endpoint.pk}", "firing")]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("signature_refused", {"attempts": 5, "signature_refused": 1}),
        ("dead_letters", {"attempts": 5, "dead": 1}),
        ("latency", {"attempts": 20, "latency_buckets": latencies(20, 10_000)}),
    ],
)
def test_each_kind_of_count_fires_by_its_own(
    clock: Clock, endpoint: Endpoint, kind: str, counts: dict[str, object]
) -> None:
    count(endpoint, NOW, **counts)
    clock.step()
    assert alerts() == [(f"{kind}:{endpoint.pk}", "firing")]


def test_too_few_say_nothing(clock: Clock, endpoint: Endpoint) -> None:
    count(endpoint, NOW, attempts=19, failed=19, latency_buckets=latencies(19, 10_000))
    clock.step(3)
    assert alerts() == []


def test_shards_are_added_up(clock: Clock, endpoint: Endpoint) -> None:
    for shard in (1, 2):
        count(endpoint, NOW, shard, attempts=10, failed=1)
    clock.step()
    assert alerts() == [(f"failure_rate:{endpoint.pk}", "firing")]


def test_failures_of_an_endpoint_with_an_alert_of_its_own_are_not_its_tenants(clock: Clock, endpoint: Endpoint) -> None:
    quiet = EndpointFactory(tenant=endpoint.tenant)
    fail(endpoint, 0, failed=100)
    fail(quiet, 0, failed=4)
    clock.step(4)
    assert alerts() == [(f"failure_rate:{endpoint.pk}", "firing")]


def test_tenant_fires_when_many_endpoints_fail_a_little(clock: Clock, endpoint: Endpoint) -> None:
    for _ in range(5):
        count(EndpointFactory(tenant=endpoint.tenant), NOW, attempts=15, failed=3)
    clock.step()
    assert alerts() == [(f"tenant_failure_rate:{endpoint.tenant_id}", "firing")]
    assert Alert.objects.get().summary == "acme: 20 % of its other attempts failed within 5 min"


def test_wrong_signatures_of_a_publisher_are_its_tenants(clock: Clock, endpoint: Endpoint) -> None:
    told = ((endpoint.tenant_id, "wrong"), (endpoint.tenant_id, "stale"))
    for tenant_id, reason in (*told, (endpoint.tenant_id, "missing"), (0, "unknown_key"), (0, "wrong")):
        PublishRefusalCounter.objects.create(minute=NOW, tenant_id=tenant_id, reason=reason, shard=1, count=2)
    clock.step()
    assert alerts() == [(f"publish_signature:{endpoint.tenant_id}", "firing")]
    assert "4 publishes" in Alert.objects.get().summary


def test_breaker_fires_when_it_was_open_for_a_minute(clock: Clock, endpoint: Endpoint) -> None:
    Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, state="open")
    clock.step()
    assert alerts() == [(f"breaker_open:{endpoint.pk}", "pending")]
    assert not AuditEntry.objects.exists()
    Breaker.objects.update(state="half_open")
    clock.step(3)
    assert alerts() == [(f"breaker_open:{endpoint.pk}", "pending")]
    clock.step()
    assert alerts() == [(f"breaker_open:{endpoint.pk}", "firing")]
    assert Alert.objects.get().summary == "acme/ci-cd: its circuit breaker is open"


def test_breaker_says_nothing_when_it_closes_in_time_or_a_person_opened_it(clock: Clock, endpoint: Endpoint) -> None:
    Breaker.objects.create(endpoint_id=endpoint.pk, tenant_id=endpoint.tenant_id, state="open")
    clock.step()
    Breaker.objects.update(state="closed")
    clock.step()
    Breaker.objects.update(state="open", by_hand=True)
    clock.step(8)
    assert alerts() == []


def test_role_is_missing_when_all_its_processes_are_silent(clock: Clock) -> None:
    clock.step()
    clock.silent = {"worker"}
    clock.step(2)
    assert alerts() == []
    clock.step()
    assert alerts() == [("process_missing:worker", "pending")]
    clock.step()
    assert alerts() == [("process_missing:worker", "firing")]
    assert Alert.objects.get().summary == "No worker has given a sign of life for 1 min"
    clock.silent = set()
    clock.step(4)
    assert alerts() == [("process_missing:worker", "resolved")]


def test_roles_are_given_time_when_everything_starts_after_a_night(clock: Clock) -> None:
    beat(at(-36_000))
    clock.silent = {"worker", "consumer", "relay", "sweep"}
    clock.step(2)
    clock.silent = set()
    clock.step(4)
    assert alerts() == []


def test_role_that_must_run_is_missing_when_it_was_never_seen(clock: Clock) -> None:
    clock.silent = {"consumer"}
    clock.step(3)
    assert alerts() == []
    clock.step(2)
    assert alerts() == [("process_missing:consumer", "firing")]


@pytest.mark.parametrize("away_s", [31, 40, 60, 75])
def test_roles_are_given_time_when_nothing_could_be_evaluated_or_seen(clock: Clock, away_s: int) -> None:
    """As in a failover of the database: the pass that is overdue comes before anybody has beaten again."""
    clock.step()
    clock.evaluator.step(at(away_s))
    assert alerts() == []
    clock.now = at(away_s + 15)
    clock.step(4)
    assert alerts() == []


@pytest.mark.django_db(transaction=True)
def test_roles_are_given_time_when_a_pass_lost_the_database(clock: Clock) -> None:
    clock.now = at(-45)
    clock.step(3)
    beat(at(-2))
    clock.evaluator.step(NOW)
    connection.connection.close()
    with pytest.raises((OperationalError, InterfaceError)):
        clock.evaluator.step(at(15))
    connection.close()
    clock.evaluator.step(at(29.5))
    assert alerts() == []


def test_pause_that_gives_roles_time_is_two_turns() -> None:
    assert GAP == 2 * EVERY


REFUSE = """
CREATE FUNCTION refuse_alert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.kind = 'signature_refused' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW;
END $$;
CREATE TRIGGER refuse_alert BEFORE INSERT ON delivery_alert FOR EACH ROW EXECUTE FUNCTION refuse_alert();
"""


def test_other_alerts_fire_when_one_cannot_be_written(
    clock: Clock, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(REFUSE)
    count(endpoint, NOW, attempts=5, signature_refused=1, dead=1)
    with pytest.raises(PartlyFailed):
        clock.step()
    assert alerts() == [(f"dead_letters:{endpoint.pk}", "firing")]
    failed = [record.__dict__["part"] for record in caplog.records if record.message == "alerting.part_failed"]
    assert failed == [f"signature_refused:{endpoint.pk}"]


def test_the_rest_is_judged_and_roles_are_still_missed_when_gauges_cannot_be_read(
    clock: Clock, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = OutboxMessage.objects.create(
        id=UUID(int=2**128 - 1), key="acme|", body=b""
    )  # after the calendar's end
    count(endpoint, NOW, attempts=5, dead=1)
    for _ in range(6):
        beat(clock.now, ["worker", "consumer", "sweep"])
        with pytest.raises(PartlyFailed):
            clock.evaluator.step(clock.now)
        OutboxMessage.objects.exclude(pk=unreadable.pk).delete()  # the alert's own event, which is older
        clock.now += EVERY
    assert alerts() == [(f"dead_letters:{endpoint.pk}", "firing"), ("process_missing:relay", "firing")]
    assert {record.__dict__["part"] for record in caplog.records if record.message == "alerting.part_failed"} == {
        "gauges"
    }


def test_role_that_nobody_needs_is_missing_only_while_it_was_seen_of_late(clock: Clock) -> None:
    beat(at(-2 * 86_400), ["replays"])
    beat(at(0), ["counting"])
    clock.step(6)
    assert alerts() == []
    beat(clock.now, ["replays"])
    clock.step(5)
    assert alerts() == [("process_missing:replays", "firing")]
    Heartbeat.objects.filter(role="replays").update(seen_at=clock.now - timedelta(days=2))
    clock.step(4)
    assert alerts() == [("process_missing:replays", "resolved")]


def test_firing_role_stays_when_another_process_begins_to_evaluate(clock: Clock) -> None:
    clock.step()
    clock.silent = {"relay"}
    clock.step(6)
    clock.evaluator = Evaluator()
    clock.step(8)
    assert alerts() == [("process_missing:relay", "firing")]
    assert Alert.objects.get().well_since is None


@pytest.mark.parametrize(
    "end",
    [
        lambda endpoint: Endpoint.objects.filter(pk=endpoint.pk).update(state=EndpointState.DISABLED),
        lambda endpoint: Endpoint.objects.filter(pk=endpoint.pk).delete(),
        lambda endpoint: type(endpoint.tenant).objects.filter(pk=endpoint.tenant_id).update(active=False),
        lambda endpoint: rule("failure_rate", tenant=endpoint.tenant, endpoint=endpoint, enabled=False),
    ],
    ids=["disabled", "deleted", "inactive tenant", "rule disabled"],
)
def test_alert_is_resolved_when_what_it_is_about_is_not_at_work(clock: Clock, endpoint: Endpoint, end: object) -> None:
    fail(endpoint, 0)
    clock.step()
    assert callable(end)
    end(endpoint)
    clock.step(2)
    assert alerts() == [(f"failure_rate:{endpoint.pk}", "resolved")]


def test_narrower_rule_holds_in_place_of_the_wider_one(clock: Clock, endpoint: Endpoint) -> None:
    other = EndpointFactory(tenant=endpoint.tenant)
    stranger = EndpointFactory()
    for each in (endpoint, other, stranger):
        count(each, NOW, attempts=30, failed=6)
    rule("failure_rate", tenant=endpoint.tenant, threshold=0.1, severity="warning")
    rule("failure_rate", tenant=endpoint.tenant, endpoint=endpoint, threshold=0.5, clear_below=0.5)
    clock.step()
    found = Alert.objects.order_by("endpoint_id").values_list("endpoint_id", "severity")
    assert list(found) == [(other.pk, "warning"), (stranger.pk, "critical")]


def test_rule_with_a_window_of_its_own_looks_at_that(clock: Clock, endpoint: Endpoint) -> None:
    fail(endpoint, -8)
    clock.step()
    assert alerts() == []
    rule("failure_rate", tenant=endpoint.tenant, endpoint=endpoint, window_s=600)
    clock.step()
    assert alerts() == [(f"failure_rate:{endpoint.pk}", "firing")]
    assert "within 10 min" in Alert.objects.get().summary


def test_alert_is_muted_when_its_rule_is_and_calls_when_the_mute_ends(clock: Clock, endpoint: Endpoint) -> None:
    muted = rule("failure_rate", tenant=endpoint.tenant, muted_until=at(40))
    fail(endpoint, 0)
    clock.step()
    assert Alert.objects.values_list("state", "muted").get() == ("firing", True)
    assert AuditEntry.objects.latest("pk").details["muted"] is True
    clock.step(2)
    assert Alert.objects.get().muted
    clock.step()
    assert muted.muted_until is not None
    assert not Alert.objects.get().muted
    assert AuditEntry.objects.latest("pk").action == "alert.unmuted"


def test_firing_alert_takes_the_new_severity_of_its_rule(clock: Clock, endpoint: Endpoint) -> None:
    made = rule("failure_rate", severity="warning")
    fail(endpoint, 0)
    clock.step()
    AlertRule.objects.filter(pk=made.pk).update(severity="critical")
    clock.step(2)
    assert Alert.objects.get().severity == "critical"
    assert AuditEntry.objects.filter(action="alert.severity_changed").count() == 1


def test_rule_decides_on_alerts_that_others_raise(clock: Clock, endpoint: Endpoint) -> None:
    """Severity and muting from the start; disabled: none any more, and none is opened."""
    made = rule("endpoint.failing", threshold=0, clear_below=0, severity="info", muted_until=at(600))
    place = {"tenant_id": endpoint.tenant_id, "endpoint_id": endpoint.pk}
    assert raise_alert("endpoint.failing", "key", AlertSeverity.WARNING, "fails", NOW, **place)
    assert Alert.objects.values_list("severity", "muted").get() == ("info", True)

    AlertRule.objects.filter(pk=made.pk).update(enabled=False)
    clock.step()
    assert alerts() == [("key", "resolved")]
    assert not raise_alert("endpoint.failing", "key", AlertSeverity.WARNING, "fails", NOW, **place)
    assert alerts() == [("key", "resolved")]


def test_alerts_that_others_raise_are_left_alone_without_a_stored_rule(clock: Clock, endpoint: Endpoint) -> None:
    raise_alert("signing_key.rotation_due", "key", AlertSeverity.INFO, "due", NOW, tenant_id=endpoint.tenant_id)
    raise_alert("some.other", "other", AlertSeverity.INFO, "other", NOW)
    clock.step(6)
    assert list(Alert.objects.values_list("severity", "state")) == [("info", "firing")] * 2


def test_pass_takes_as_many_statements_whatever_the_number_of_endpoints(clock: Clock, endpoint: Endpoint) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            clock.step()
        return len([each for each in queries.captured_queries if "heartbeat" not in each["sql"].lower()])

    clock.step()
    count(endpoint, NOW, attempts=100)
    few = cost()
    for _ in range(12):
        count(EndpointFactory(tenant=endpoint.tenant), NOW, attempts=100)
    assert cost() == few


@pytest.mark.django_db(transaction=True)
def test_two_evaluators_at_once_open_and_resolve_each_alert_once() -> None:
    endpoint = EndpointFactory()
    fail(endpoint, 0)
    beat(at(0))
    evaluators, start = [Evaluator(), Evaluator()], threading.Barrier(2)

    def work(evaluator: Evaluator) -> None:
        try:
            for seconds in (0, 15, 375, 390, 405, 420, 435, 450):
                start.wait(20)
                evaluator.step(at(seconds))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, evaluator) for evaluator in evaluators]:
            done.result(60)
    found = [pair for pair in alerts() if pair[0].startswith("failure_rate")]
    assert found == [(f"failure_rate:{endpoint.pk}", "resolved")]
    said = AuditEntry.objects.filter(details__endpoint=endpoint.pk).order_by("pk").values_list("action", flat=True)
    assert list(said) == ["alert.raised", "alert.resolved"]
