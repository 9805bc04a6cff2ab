"""The one writer of the trail: positions, chaining, and that nobody changes what stands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, ProgrammingError, connection, transaction

from audit.chain import GENESIS, Link, digest
from audit.models import AuditEntry
from audit.trail import Actor, record
from tests.factories import UserFactory

ROBOT = Actor("system:test")


def in_threads(*work: Callable[[], object]) -> None:
    """All at once, each with a connection of its own; raises what one of them raises."""

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        for future in [pool.submit(run, job) for job in work]:
            future.result()


def unbroken(chain: str) -> bool:
    """Computed from what is stored, as a verifier does."""
    previous = GENESIS
    for number, entry in enumerate(AuditEntry.objects.filter(chain=chain).order_by("position"), start=1):
        names = ("chain", "position", "at", "actor", "address", "action", "target", "details")
        link = Link(**{name: getattr(entry, name) for name in names})
        if entry.position != number or bytes(entry.previous) != previous:
            return False
        if bytes(entry.digest) != digest(previous, link):
            return False
        previous = bytes(entry.digest)
    return True


@pytest.mark.django_db
def test_entries_are_chained_when_several_are_recorded() -> None:
    first = record(
        "acme", Actor("user:eva", "198.51.100.7", 7), "endpoint.made", "endpoint:1", {"url": "https://é.example"}
    )
    second = record("acme", ROBOT, "endpoint.changed", "endpoint:1")

    assert (first.position, second.position) == (1, 2)
    assert bytes(first.previous) == GENESIS
    assert bytes(second.previous) == bytes(first.digest)
    assert (first.actor, first.address, first.actor_user_id, second.details) == ("user:eva", "198.51.100.7", 7, {})


@pytest.mark.django_db
def test_each_chain_counts_for_itself() -> None:
    for chain in ("acme", "globex", "acme", "platform"):
        record(chain, ROBOT, "a.b", "c:1")

    positions = AuditEntry.objects.order_by("id").values_list("chain", "position")
    assert list(positions) == [("acme", 1), ("globex", 1), ("acme", 2), ("platform", 1)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "details",
    [
        {"é": "😀\u2028\ud7ff", "nested": {"b": [1, None, {"z": 1, "a": 2}], "a": ""}},
        {"float": 0.25, "negative": -1.5, "whole": 2.0, "big": 2**70},
        {"quote": 'a"b\\c\n\t/', "": "empty name"},
        {"tuple": (1, 2), "true": True, "long": "x" * 10_000},
    ],
)
def test_digest_holds_when_it_is_computed_from_what_is_stored(details: dict[str, object]) -> None:
    for _ in range(2):
        record("acme", ROBOT, "a.b", "c:1", details)

    assert unbroken("acme")


@pytest.mark.django_db
def test_change_is_found_when_somebody_got_past_the_triggers() -> None:
    for number in range(3):
        record("acme", ROBOT, "a.b", f"c:{number}")
    assert unbroken("acme")

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry DISABLE TRIGGER audit_entry_append_only")
        cursor.execute("UPDATE audit_auditentry SET target = 'c:9' WHERE position = 2")

    assert not unbroken("acme")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditentry SET actor = 'user:nobody'",
        "UPDATE audit_auditentry SET actor = actor WHERE false",
        "DELETE FROM audit_auditentry",
        "TRUNCATE audit_auditentry",
        "TRUNCATE audit_auditentry CASCADE",
        "INSERT INTO audit_auditentry SELECT * FROM audit_auditentry ON CONFLICT (id) DO UPDATE SET actor = 'x'",
    ],
)
def test_statement_is_refused_when_it_would_change_the_trail(statement: str) -> None:
    kept = record("acme", ROBOT, "a.b", "c:1")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry ENABLE TRIGGER audit_entry_no_truncate")

    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEntry.objects.get().actor == kept.actor


@pytest.mark.django_db
def test_model_is_refused_too_when_it_is_saved_or_deleted() -> None:
    entry = record("acme", ROBOT, "a.b", "c:1")
    entry.actor = "user:nobody"

    for change in (entry.save, entry.delete):
        with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
            change()

    assert unbroken("acme")


@pytest.mark.django_db
def test_entry_is_gone_when_the_callers_change_is_rolled_back() -> None:
    with transaction.atomic():
        record("acme", ROBOT, "a.b", "c:1")
        transaction.set_rollback(True)

    assert record("acme", ROBOT, "a.b", "c:2").position == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "details", [{"nul": "\0"}, {"number": float("nan")}, {"surrogate": "\ud800"}, {"object": object()}]
)
def test_nothing_is_recorded_when_the_details_are_no_json(details: dict[str, object]) -> None:
    with pytest.raises((DatabaseError, ValueError, TypeError)):
        record("acme", ROBOT, "a.b", "c:1", details)

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_actor_is_named_by_the_user() -> None:
    user = UserFactory(username="eva")

    assert Actor.of_user(user, "::1") == Actor("user:eva", "::1", user.pk)
    assert Actor.of_user(AnonymousUser()) == Actor("user:", "", None)


@pytest.mark.django_db(transaction=True)
def test_positions_have_no_gaps_when_two_threads_write_one_chain() -> None:
    start = threading.Barrier(2)

    def write() -> None:
        start.wait()
        for number in range(25):
            with transaction.atomic():
                record("acme", ROBOT, "a.b", f"c:{number}")
                if number % 5 == 4:
                    transaction.set_rollback(True)

    in_threads(write, write)

    assert AuditEntry.objects.count() == 40
    assert unbroken("acme")


@pytest.mark.django_db(transaction=True)
def test_another_chain_does_not_wait_when_one_is_being_written() -> None:
    held, other_done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            record("acme", ROBOT, "a.b", "c:1")
            held.set()
            assert other_done.wait(10)

    def other() -> None:
        assert held.wait(10)
        record("globex", ROBOT, "a.b", "c:1")
        other_done.set()

    in_threads(hold, other)

    assert AuditEntry.objects.count() == 2
