from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from config.stack.services import Services
from eventcenter import registry
from eventcenter.follow import CHECK_EVERY_S, Followed
from eventcenter.models import ConfigRevision, EventType
from tests.factories import TenantFactory
from tests.waiting import eventually


class Counted:
    """A load that counts its calls and reads the database."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return EventType.objects.count()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def followed(counted: Counted) -> Followed[int]:
    return Followed(counted)


def make_type(name: str) -> EventType:
    return EventType.objects.create(name=name, version=1, schema={})


@pytest.mark.django_db
def test_value_is_loaded_once_when_nothing_changes(followed: Followed[int], counted: Counted) -> None:
    assert [followed.reload() for _ in range(5)] == [0] * 5
    assert counted.calls == 1


@pytest.mark.django_db
def test_change_is_seen_when_it_is_looked_for(followed: Followed[int], counted: Counted) -> None:
    assert followed.get() == 0
    make_type("a.b")

    assert followed.reload() == 1
    assert counted.calls == 2


@pytest.mark.django_db
def test_change_is_seen_by_itself_within_two_seconds(followed: Followed[int]) -> None:
    assert CHECK_EVERY_S < 2
    assert followed.get() == 0
    make_type("a.b")

    assert eventually(lambda: followed.get() == 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE eventcenter_eventtype SET active = false",
        "DELETE FROM eventcenter_eventtype",
        "INSERT INTO subscriptions_tenant (slug, name, active) VALUES ('t', 't', true)",
        "UPDATE subscriptions_endpoint SET url = 'https://a.example' WHERE false",
        "DELETE FROM subscriptions_endpointsecret WHERE false",
        "DELETE FROM subscriptions_subscription WHERE false",
    ],
)
def test_value_is_loaded_anew_when_configuration_is_changed_by_sql(
    followed: Followed[int], counted: Counted, statement: str
) -> None:
    make_type("a.b")
    followed.get()

    with connection.cursor() as cursor:
        cursor.execute(statement)
    followed.reload()

    assert counted.calls == 2


@pytest.mark.django_db
def test_value_is_kept_when_the_database_cannot_be_asked(followed: Followed[int], settings: Settings) -> None:
    make_type("a.b")
    assert followed.get() == 1

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE eventcenter_configrevision RENAME TO hidden")
        with_error = followed_in_savepoint(followed)
        cursor.execute("ALTER TABLE hidden RENAME TO eventcenter_configrevision")

    make_type("c.d")
    assert with_error == 1
    assert followed.reload() == 2


def followed_in_savepoint(followed: Followed[int]) -> int:
    """A failed statement must not take the test's own transaction with it."""
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT before")
        value = followed.reload()
        cursor.execute("ROLLBACK TO SAVEPOINT before")
    return value


@pytest.mark.django_db(transaction=True)
def test_first_value_raises_and_is_loaded_later_when_the_database_is_away(
    followed: Followed[int], services: Services
) -> None:
    connection.close()
    port, connection.settings_dict["PORT"] = connection.settings_dict["PORT"], "1"
    try:
        with pytest.raises(OperationalError):
            followed.get()
    finally:
        connection.settings_dict["PORT"] = port

    assert followed.get() == 0


@pytest.mark.django_db(transaction=True)
def test_value_is_loaded_once_when_threads_ask_at_once(followed: Followed[int], counted: Counted) -> None:
    start = threading.Barrier(8)

    def ask(_: int) -> int:
        start.wait()
        try:
            return followed.get()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [0] * 8

    assert counted.calls == 1


@pytest.mark.django_db(transaction=True)
def test_change_is_seen_when_it_is_committed_and_not_before(followed: Followed[int], counted: Counted) -> None:
    assert followed.get() == 0
    written, looked = threading.Event(), threading.Event()

    def change() -> None:
        from django.db import transaction

        with transaction.atomic():
            TenantFactory()
            written.set()
            assert looked.wait(10)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(change)
        assert written.wait(10)
        followed.reload()
        calls_before = counted.calls
        looked.set()
        done.result()
    followed.reload()

    assert (calls_before, counted.calls) == (1, 2)


@pytest.mark.django_db
def test_revision_row_is_made_again_when_it_is_gone(followed: Followed[int]) -> None:
    ConfigRevision.objects.all().delete()
    assert followed.get() == 0

    make_type("a.b")

    assert followed.reload() == 1


@pytest.mark.django_db
def test_registry_forgets_a_type_when_it_is_switched_off(event_types: list[EventType]) -> None:
    name = event_types[0].name
    assert registry.schemas.get().knows(name)

    EventType.objects.filter(name=name).update(active=False)

    assert not registry.schemas.reload().knows(name)
