from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection

from delivery.telemetry.election import Election

pytestmark = pytest.mark.django_db(transaction=True)


class Candidate:
    """A process's main thread, with a connection of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._election = Election("test")

    def won(self) -> bool:
        return self._thread.submit(self._election.won).result()

    def give_back(self) -> None:
        self._thread.submit(self._election.give_back).result()

    def pid(self) -> int:
        return self._thread.submit(lambda: int(connection.connection.info.backend_pid)).result()

    def connect_again(self) -> None:
        """As the loop of a worker command does after an error."""
        self._thread.submit(lambda: connection.close()).result()

    def close(self) -> None:
        self._thread.submit(lambda: connection.close()).result()
        self._thread.shutdown()


@pytest.fixture
def candidates() -> Iterator[list[Candidate]]:
    made = [Candidate(), Candidate()]
    yield made
    for each in made:
        each.close()


def end_connection(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_one_of_two_is_elected_and_stays_it(candidates: list[Candidate]) -> None:
    one, other = candidates
    assert [one.won(), other.won(), one.won(), other.won()] == [True, False, True, False]


def test_another_is_elected_when_the_leaders_connection_ends(candidates: list[Candidate]) -> None:
    one, other = candidates
    assert one.won()
    end_connection(one.pid())
    assert other.won()
    one.connect_again()
    assert not one.won()
    assert other.won()


def test_a_new_connection_has_not_the_former_ones_lock(candidates: list[Candidate]) -> None:
    one, other = candidates
    assert one.won()
    one.connect_again()
    assert other.won()
    assert not one.won()


def test_another_is_elected_when_the_leader_gives_back(candidates: list[Candidate]) -> None:
    one, other = candidates
    assert one.won()
    one.give_back()
    assert other.won()
    assert not one.won()


def test_asking_raises_when_the_database_ends_the_connection(candidates: list[Candidate]) -> None:
    one, other = candidates
    assert other.won()
    assert not one.won()
    end_connection(one.pid())
    with pytest.raises(OperationalError):
        one.won()


def test_server_looks_for_a_leader_whose_machine_is_gone_within_half_a_minute() -> None:
    """Over TCP; over a Unix socket there is no machine that could go, and the server takes the options and heeds them not."""
    known = connection.get_connection_params()
    names = ("port", "user", "password", "dbname", "options")
    dsn = psycopg.conninfo.make_conninfo(host="127.0.0.1", **{name: known[name] for name in names if known.get(name)})
    with psycopg.connect(dsn) as session:
        idle, interval, count = (
            int(
                (
                    session.execute(f"SELECT setting FROM pg_settings WHERE name = 'tcp_keepalives_{name}'").fetchone()
                    or "0"
                )[0]
            )
            for name in ("idle", "interval", "count")
        )
    assert 0 < idle + interval * count <= 30
    assert "tcp_keepalives_idle" in settings.DATABASES["default"]["OPTIONS"]["options"]
