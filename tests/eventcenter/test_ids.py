from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from eventcenter.ids import derived_id, id_floor, id_time, new_id

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
CHILDREN = st.integers(-(2**63), 2**63 - 1)
PARENTS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


def is_uuid7(value: UUID) -> bool:
    return value.version == 7 and value.variant == "specified in RFC 4122"


def test_new_id_is_of_now_and_of_version_7() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = new_id()
    after = datetime.now(UTC)

    assert is_uuid7(made)
    assert before <= id_time(made) <= after
    assert id_floor(before) <= made < id_floor(after + timedelta(milliseconds=1))


def test_new_ids_are_distinct_when_threads_make_them_at_once() -> None:
    start = threading.Barrier(4)

    def make(_: int) -> list[UUID]:
        start.wait()
        return [new_id() for _ in range(5_000)]

    with ThreadPoolExecutor(4) as pool:
        made = [each for some in pool.map(make, range(4)) for each in some]

    assert len(set(made)) == 20_000


@given(MOMENTS)
def test_floor_and_time_agree_to_the_millisecond(at: datetime) -> None:
    assert id_time(id_floor(at)) == at.replace(microsecond=at.microsecond // 1000 * 1000)


@given(MOMENTS, MOMENTS)
def test_floors_are_ordered_as_their_moments(one: datetime, other: datetime) -> None:
    assert (id_floor(one) <= id_floor(other)) or one > other


def test_floor_is_the_same_when_the_moment_is_told_in_another_zone() -> None:
    at = datetime(2025, 11, 5, 0, 0, tzinfo=UTC)

    assert id_floor(at.astimezone(timezone(timedelta(hours=-11)))) == id_floor(at)


@given(PARENTS, CHILDREN)
def test_derived_id_shares_its_parents_millisecond(parent: UUID, child: int) -> None:
    derived = derived_id(parent, child)

    assert is_uuid7(derived)
    assert derived.int >> 80 == parent.int >> 80
    assert derived == derived_id(UUID(str(parent)), child)


@given(st.sets(CHILDREN, min_size=2, max_size=50))
def test_derived_ids_are_distinct_when_children_are(children: set[int]) -> None:
    parent = new_id()

    assert len({derived_id(parent, child) for child in children}) == len(children)


def test_derived_ids_are_distinct_when_parents_of_one_millisecond_are() -> None:
    floor = id_floor(datetime(2025, 11, 5, tzinfo=UTC)).int
    parents = [UUID(int=floor | number) for number in range(1_000)]

    assert len({derived_id(parent, 1) for parent in parents}) == 1_000
