from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from eventcenter import data_keys
from eventcenter.crypto import UnsealError, master_of, seal, sealed_by, unseal
from eventcenter.models import DataKey
from tests.eventcenter.sealing import seal_directly

pytestmark = pytest.mark.django_db
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)


@given(st.text())
def test_text_is_given_back_when_it_was_sealed_for_the_same_purpose(text: str) -> None:
    sealed = seal(text, "endpoint-secret")

    assert unseal(sealed, "endpoint-secret") == text
    assert unseal(memoryview(sealed), "endpoint-secret") == text  # type: ignore[arg-type] # as a BinaryField gives it
    assert len(text) < 3 or text.encode() not in sealed


def test_seals_differ_when_the_same_text_is_sealed_twice() -> None:
    assert seal("same", "p") != seal("same", "p")


def test_value_names_its_data_key_and_the_data_key_its_master_when_it_is_sealed(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD, NEW)
    first, second = seal("one", "p"), seal("two", "p")

    (row,) = DataKey.objects.all()
    assert sealed_by(first) == sealed_by(second) == row.pk
    assert master_of(first) == ""
    assert row.master_key_id == "old"


def test_old_seals_open_when_a_new_master_was_put_first(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")

    settings.ENCRYPTION_KEYS = (NEW, OLD)
    data_keys.forget()

    assert unseal(sealed, "p") == "secret"
    assert sealed_by(seal("secret", "p")) == sealed_by(sealed)


def test_value_of_the_time_before_data_keys_opens_by_its_master(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal_directly("secret", "p")
    settings.ENCRYPTION_KEYS = (NEW, OLD)

    assert unseal(sealed, "p") == "secret"
    assert (sealed_by(sealed), master_of(sealed)) == ("", "old")
    with pytest.raises(UnsealError):
        unseal(sealed, "q")
    settings.ENCRYPTION_KEYS = (NEW,)
    with pytest.raises(UnsealError, match="'old' is not in ENCRYPTION_KEYS"):
        unseal(sealed, "p")


def test_key_is_found_when_its_name_is_not_ascii(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (("schlüssel 1", b"k" * 32),)
    direct, sealed = seal_directly("secret", "p"), seal("secret", "p")
    data_keys.forget()

    assert unseal(sealed, "p") == unseal(direct, "p") == "secret"


def test_data_key_is_opened_once_a_process(settings: Settings, django_assert_num_queries: Any) -> None:
    sealed = seal("secret", "p")
    data_keys.forget()
    with django_assert_num_queries(1):
        for _ in range(5):
            assert unseal(sealed, "p") == "secret"


def test_retired_data_key_opens_and_seals_no_more() -> None:
    before = seal("secret", "p")
    made = data_keys.replace_current()

    assert unseal(before, "p") == "secret"
    assert sealed_by(seal("secret", "p")) == made.pk != sealed_by(before)
    assert DataKey.objects.filter(retired_at=None).get() == made


def test_seal_is_refused_when_its_master_is_gone(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")
    settings.ENCRYPTION_KEYS = (NEW,)
    data_keys.forget()

    with pytest.raises(UnsealError, match="'old' is not in ENCRYPTION_KEYS"):
        unseal(sealed, "p")
    with pytest.raises(UnsealError, match="'old' is not in ENCRYPTION_KEYS"):
        seal("another", "p")
    assert DataKey.objects.count() == 1


def test_seal_is_refused_when_another_master_bears_its_name(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")
    settings.ENCRYPTION_KEYS = (("old", b"x" * 32),)
    data_keys.forget()

    with pytest.raises(UnsealError, match="does not open"):
        unseal(sealed, "p")


def test_data_key_does_not_open_when_it_stands_under_another_id() -> None:
    sealed, other = seal("secret", "p"), data_keys.replace_current()
    wrapped = DataKey.objects.get(pk=sealed_by(sealed)).wrapped
    DataKey.objects.filter(pk=other.pk).update(wrapped=wrapped)
    data_keys.forget()

    with pytest.raises(UnsealError, match="does not open"):
        data_keys.key_of(other.pk)


@pytest.mark.django_db(transaction=True)
def test_one_data_key_is_made_when_several_processes_seal_first() -> None:
    start = threading.Barrier(4)

    def work() -> str:
        start.wait(10)
        try:
            with transaction.atomic():
                return sealed_by(seal("secret", "p"))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        used = {done.result(20) for done in [pool.submit(work) for _ in range(4)]}

    assert used == set(DataKey.objects.values_list("pk", flat=True))
    assert len(used) == 1


def test_seal_is_refused_when_it_is_opened_for_another_purpose() -> None:
    with pytest.raises(UnsealError, match="sealed for publish-secret"):
        unseal(seal("secret", "endpoint-secret"), "publish-secret")


def test_seal_is_refused_when_any_byte_of_it_was_changed() -> None:
    sealed = seal("secret", "p")

    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(UnsealError) as caught:
            unseal(bytes(changed), "p")
        assert "secret" not in str(caught.value)


def test_seal_is_refused_when_it_was_cut_off() -> None:
    sealed = seal("secret", "p")

    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            unseal(sealed[:length], "p")


@given(st.binary(max_size=80))
def test_garbage_is_refused_as_a_seal(garbage: bytes) -> None:
    for sealed in (garbage, b"dev:" + garbage, b":" + garbage, seal("x", "p")[:20] + garbage):
        with pytest.raises(UnsealError):
            unseal(sealed, "p")
