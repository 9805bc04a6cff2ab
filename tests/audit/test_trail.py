"""The one writer of the trail: positions, chaining, and that nobody changes what stands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, ProgrammingError, connection, transaction

from audit import store
from audit.chain import GENESIS, Link, digest
from audit.details import NotRecordable, recordable
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
        {"big": 2**53 - 1, "negative": -(2**53 - 1), "zero": 0},
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
    ("details", "message"),
    [
        ({"a": "\0"}, "details.a has a NUL"),
        ({"a": {"b": [1, 1e16]}}, r"details.a.b\[1\] takes .* not float \(write it as text\)"),
        ({"a": float("nan")}, "details.a takes .* not float"),
        ({"a": -0.0}, "details.a takes .* not float"),
        ({"a": "\ud800"}, "details.a has half of a surrogate"),
        ({"a": object()}, "details.a takes .* not object"),
        ({"a": UUID(int=1)}, "details.a takes .* not UUID"),
        ({"a": 2**53}, "details.a takes integers up to"),
        ({1: "a"}, "a key of details takes text, not int"),
        ({"a": {None: 1}}, "a key of details.a takes text, not NoneType"),
        ({"a\0": 1}, "a key of details has a NUL"),
        ({"a": json.loads("[" * 40 + "]" * 40)}, "nested deeper than 16"),
        ([1], "details take a dict, not list"),
    ],
)
def test_nothing_is_recorded_when_the_details_would_not_come_back_as_they_were(
    details: dict[str, object], message: str
) -> None:
    with pytest.raises(NotRecordable, match=message):
        record("acme", ROBOT, "a.b", "c:1", details)

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("actor", "action", "message"),
    [
        (Actor("user:\0"), "a.b", "actor has a NUL"),
        (Actor("user:" + "x" * 200), "a.b", "actor takes at most 200 characters; it has 205"),
        (Actor("user:x", "y" * 65), "a.b", "address takes at most 64"),
        (ROBOT, "a" * 101, "action takes at most 100"),
    ],
)
def test_nothing_is_recorded_when_a_text_cannot_be_kept(actor: Actor, action: str, message: str) -> None:
    with pytest.raises(NotRecordable, match=message):
        record("acme", actor, action, "c:1")

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_values_are_recorded_when_they_were_made_fit() -> None:
    at = datetime(2025, 11, 5, 12, tzinfo=UTC)
    values = {"rate": 2.5, "at": at, "nan": float("nan"), "nul": "a\0b", "big": 2**70, "n": {1: (True, None, 7)}}
    details = {name: recordable(value) for name, value in values.items()}

    entry = AuditEntry.objects.get(pk=record("acme", ROBOT, "a.b", "c:1", details).pk)

    assert entry.details == {
        "rate": "2.5",
        "at": "2025-11-05 12:00:00+00:00",
        "nan": "nan",
        "nul": "a\ufffdb",
        "big": str(2**70),
        "n": {"1": [True, None, 7]},
    }
    assert unbroken("acme")


@pytest.fixture
def stranger(db: None) -> Iterator[None]:
    """The connection goes on as a role that may do nothing with the tables, as the web's role may not with others' rows."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE audit_stranger")
        cursor.execute("SET ROLE audit_stranger")
        yield
        cursor.execute("RESET ROLE")
        cursor.execute("DROP ROLE audit_stranger")


@pytest.mark.django_db
def test_entries_are_appended_when_the_role_has_no_right_on_the_table(stranger: None) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        AuditEntry.objects.count()

    made = [record("acme", ROBOT, "a.b", f"c:{number}", {"n": number}) for number in range(3)]

    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    assert list(AuditEntry.objects.order_by("position")) == made
    assert unbroken("acme")


@pytest.mark.django_db
def test_functions_are_not_led_astray_when_the_role_has_a_table_of_that_name(stranger: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("CREATE TEMPORARY TABLE audit_auditentry (LIKE public.audit_auditentry) ON COMMIT DROP")
        cursor.execute("SET ROLE audit_stranger")
    record("acme", ROBOT, "a.b", "c:1")

    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SELECT count(*) FROM public.audit_auditentry")
        assert cursor.fetchone() == (1,)
        cursor.execute("DROP TABLE pg_temp.audit_auditentry")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("position", "previous"),
    [(1, GENESIS), (3, GENESIS), (2, GENESIS), (4, None), (1, None), (0, None), (None, None), (2, b"")],
)
def test_entry_is_refused_when_it_does_not_follow_the_last_one(position: int, previous: bytes | None) -> None:
    last = record("acme", ROBOT, "a.b", "c:1")
    link = Link("acme", position, last.at, "user:eve", "", "a.b", "c:2", {})

    with pytest.raises(IntegrityError, match="does not follow it"), transaction.atomic():
        store.append(link, None, bytes(last.digest) if previous is None else previous, bytes(32))

    assert list(AuditEntry.objects.all()) == [last]


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
