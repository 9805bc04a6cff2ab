"""Days are made ahead and dropped in time, and no row is lost over it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.utils import timezone
from pytest_django import Settings

from delivery.models import Attempt, Delivery
from eventcenter.ids import id_floor
from eventcenter.models import Event, IdempotencyKey, RejectedEvent
from eventcenter.partitions import maintain, partition_days
from tests.factories import AttemptFactory, EventFactory, RejectedEventFactory, event_id_at

TABLES = tuple(django_settings.RETENTION_DAYS)
FAR = datetime(2040, 1, 1, 12, tzinfo=UTC)  # no run of the tests makes its days


def place_of(row: Event | Delivery | Attempt | RejectedEvent) -> str:
    """The table that really holds the row."""
    key = {"delivery_attempt": "delivery_id"}.get(row._meta.db_table, "id")
    value = row.delivery_id if isinstance(row, Attempt) else row.pk
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {row._meta.db_table} WHERE {key} = %s", [value])
        return str(cursor.fetchone()[0])


def day_of(table: str, at: date) -> str:
    return f"{table}_{at:%Y%m%d}"


@pytest.mark.django_db
@pytest.mark.parametrize("table", TABLES)
def test_today_and_seven_days_ahead_are_there(table: str) -> None:
    today = timezone.now().date()

    assert {today + timedelta(days=number) for number in range(8)} <= partition_days(table)


@pytest.mark.django_db
def test_row_of_today_lands_in_todays_partition() -> None:
    attempt = AttemptFactory()
    rejected = RejectedEventFactory()
    today = timezone.now().date()

    for row in (attempt, attempt.delivery, attempt.delivery.event, rejected):
        assert place_of(row) == day_of(row._meta.db_table, today)


@pytest.mark.django_db
@pytest.mark.parametrize("edge", [0, -1])
def test_row_lands_in_its_own_day_when_it_is_of_the_first_or_last_millisecond(edge: int) -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).date()
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)
    low = id_floor(midnight).int

    event = EventFactory(id=UUID(int=low + edge))

    assert place_of(event) == day_of("eventcenter_event", (midnight + timedelta(milliseconds=edge)).date())


@pytest.mark.django_db
def test_row_is_kept_in_the_default_partition_when_its_day_was_not_made() -> None:
    event = EventFactory(accepted_at=FAR)

    assert place_of(event) == "eventcenter_event_default"
    assert Event.objects.get() == event


@pytest.mark.django_db
def test_rows_move_over_when_their_day_is_made() -> None:
    attempt = AttemptFactory(delivery__accepted_at=FAR)
    neighbour = EventFactory(accepted_at=FAR + timedelta(days=1))
    rejected = RejectedEventFactory(id=event_id_at(FAR))

    report = maintain(FAR, days_ahead=0)

    assert sorted(report.made) == sorted(day_of(table, FAR.date()) for table in TABLES)
    assert report.moved_rows == 4
    for row in (attempt, attempt.delivery, attempt.delivery.event, rejected):
        assert place_of(row) == day_of(row._meta.db_table, FAR.date())
    assert place_of(neighbour) == "eventcenter_event_default"
    assert Event.objects.get(pk=attempt.delivery.event_id).body == attempt.delivery.event.body
    assert (Event.objects.count(), Delivery.objects.count(), Attempt.objects.count()) == (2, 1, 1)


@pytest.mark.django_db
def test_day_is_like_the_others_when_it_was_made_later() -> None:
    maintain(FAR, days_ahead=0)

    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [table])
            wanted = len(cursor.fetchall())
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s", [day_of(table, FAR.date())])
            assert len(cursor.fetchall()) == wanted > 0, table


@pytest.mark.django_db
def test_nothing_is_done_when_it_runs_twice() -> None:
    first, second = maintain(FAR, days_ahead=2), maintain(FAR, days_ahead=2)

    assert len(first.made) == 3 * len(TABLES)
    assert (second.made, second.dropped, second.postponed, second.moved_rows) == ([], [], [], 0)


@pytest.mark.django_db
def test_day_is_dropped_when_it_is_past_its_retention(settings: Settings) -> None:
    settings.RETENTION_DAYS = {"eventcenter_event": 3, "delivery_delivery": 5}
    maintain(FAR, days_ahead=0)
    kept = EventFactory(accepted_at=FAR)

    at_its_end = maintain(FAR + timedelta(days=3), days_ahead=0)
    assert day_of("eventcenter_event", FAR.date()) not in at_its_end.dropped
    assert Event.objects.filter(pk=kept.pk).exists()

    after = maintain(FAR + timedelta(days=4), days_ahead=0)
    assert day_of("eventcenter_event", FAR.date()) in after.dropped
    assert day_of("delivery_delivery", FAR.date()) not in after.dropped
    assert not Event.objects.filter(pk=kept.pk).exists()
    assert FAR.date() in partition_days("delivery_delivery")


@pytest.mark.django_db
def test_row_of_the_default_partition_ages_too_when_its_day_was_never_made() -> None:
    now = timezone.now()
    keep = timedelta(days=django_settings.RETENTION_DAYS["eventcenter_event"])
    old, young = EventFactory(accepted_at=now - keep - timedelta(days=1)), EventFactory(accepted_at=now - keep)
    assert {place_of(old), place_of(young)} == {"eventcenter_event_default"}

    report = maintain(now)

    assert report.deleted_rows == 1
    assert list(Event.objects.all()) == [young]


@pytest.mark.django_db
def test_table_that_is_none_of_ours_is_left_alone_when_its_name_is_alike() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE eventcenter_event_20010101 (id uuid)")

    report = maintain(FAR, days_ahead=0)

    assert day_of("eventcenter_event", date(2001, 1, 1)) not in report.dropped


@pytest.mark.django_db
def test_idempotency_keys_go_when_they_are_old(settings: Settings) -> None:
    settings.RETENTION_DAYS_IDEMPOTENCY = 7
    now = timezone.now()
    for days in (6, 7.5, 8):
        event_id = event_id_at(now)
        IdempotencyKey.objects.create(digest=event_id, event_id=event_id, created_at=now - timedelta(days=days))

    assert maintain(now).keys_deleted == 2
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db
def test_command_tells_what_it_did() -> None:
    out = StringIO()

    call_command("maintain_partitions", "--days-ahead", "9", stdout=out)

    assert out.getvalue().startswith(f"made {2 * len(TABLES)}, dropped 0 partitions; moved 0 rows")


@pytest.fixture
def far_days(transactional_db: None, settings: Settings) -> Iterator[set[date]]:
    """For tests that really commit: their days are taken away again. Retention is so long that nothing else is dropped."""
    settings.RETENTION_DAYS = dict.fromkeys(TABLES, 10_000)
    days = {(FAR + timedelta(days=number)).date() for number in range(3)}
    yield days
    with connection.cursor() as cursor:
        for table in TABLES:
            for day in days:
                cursor.execute(f"DROP TABLE IF EXISTS {day_of(table, day)}")


@contextmanager
def held(table: str) -> Iterator[None]:
    """Somebody reads the table in a transaction that stays open, as a backup does."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            other.set_autocommit(False)
            cursor.execute(f"SELECT count(*) FROM {table}")
            yield
            other.rollback()
    finally:
        other.close()


def test_days_are_made_once_when_two_run_at_once(far_days: set[date]) -> None:
    start = threading.Barrier(2)

    def run(_: int) -> list[str]:
        start.wait()
        try:
            return maintain(FAR, days_ahead=2).made
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        made = [name for names in pool.map(run, range(2)) for name in names]

    assert sorted(made) == sorted(day_of(table, day) for table in TABLES for day in far_days)


def test_no_row_is_lost_when_its_day_is_made_while_it_is_written(far_days: set[date]) -> None:
    """A row that waited for the default partition while its day was attached is refused by PostgreSQL, once: ingest then
    takes the batch's messages one by one."""
    stop, written = threading.Event(), []

    def write() -> None:
        try:
            while not stop.is_set():
                with suppress(IntegrityError):
                    written.append(RejectedEventFactory(id=event_id_at(FAR)).pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            report = maintain(FAR, days_ahead=2)
        finally:
            stop.set()
        writing.result()

    assert not report.postponed
    assert set(RejectedEvent.objects.values_list("pk", flat=True)) == set(written)


def test_other_tables_get_their_days_when_one_is_held(far_days: set[date]) -> None:
    EventFactory(accepted_at=FAR)

    with held("eventcenter_event"):
        report = maintain(FAR, days_ahead=0)

    assert report.postponed == [day_of("eventcenter_event", FAR.date())]
    assert (report.moved_rows, len(report.made)) == (0, len(TABLES) - 1)
    assert Event.objects.count() == 1
    again = maintain(FAR, days_ahead=0)
    assert (again.made, again.moved_rows) == ([day_of("eventcenter_event", FAR.date())], 1)


def test_command_fails_and_names_the_day_when_its_table_is_held(far_days: set[date], settings: Settings) -> None:
    settings.RETENTION_DAYS = {"eventcenter_rejectedevent": 10_000}
    maintain(FAR, days_ahead=0)
    settings.RETENTION_DAYS = {"eventcenter_rejectedevent": 2}
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE eventcenter_rejectedevent_20010101 (LIKE eventcenter_rejectedevent INCLUDING ALL)")
        low, high = (str(id_floor(datetime(2001, 1, day, tzinfo=UTC))) for day in (1, 2))
        attach = "ALTER TABLE eventcenter_rejectedevent ATTACH PARTITION eventcenter_rejectedevent_20010101"
        cursor.execute(f"{attach} FOR VALUES FROM ('{low}') TO ('{high}')")

    with held("eventcenter_rejectedevent"), pytest.raises(CommandError, match="eventcenter_rejectedevent_20010101"):
        call_command("maintain_partitions", stdout=StringIO())

    assert date(2001, 1, 1) in partition_days("eventcenter_rejectedevent")
    assert maintain().dropped == ["eventcenter_rejectedevent_20010101"]
