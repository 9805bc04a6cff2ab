from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from eventcenter.crypto import UnsealError, seal, unseal

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)


@given(st.text())
def test_text_is_given_back_when_it_was_sealed_for_the_same_purpose(text: str) -> None:
    sealed = seal(text, "endpoint-secret")

    assert unseal(sealed, "endpoint-secret") == text
    assert unseal(memoryview(sealed), "endpoint-secret") == text  # type: ignore[arg-type] # as a BinaryField gives it
    assert len(text) < 3 or text.encode() not in sealed


def test_seals_differ_when_the_same_text_is_sealed_twice() -> None:
    assert seal("same", "p") != seal("same", "p")


def test_old_seals_open_when_a_new_key_was_put_first(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")

    settings.ENCRYPTION_KEYS = (NEW, OLD)

    assert unseal(sealed, "p") == "secret"
    assert sealed.startswith(b"old:")
    assert seal("secret", "p").startswith(b"new:")


def test_key_is_found_when_its_name_is_not_ascii(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (("schlüssel 1", b"k" * 32),)

    assert unseal(seal("secret", "p"), "p") == "secret"


def test_seal_is_refused_when_its_key_is_gone(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")
    settings.ENCRYPTION_KEYS = (NEW,)

    with pytest.raises(UnsealError, match="'old' is not in ENCRYPTION_KEYS"):
        unseal(sealed, "p")


def test_seal_is_refused_when_another_key_bears_its_name(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    sealed = seal("secret", "p")
    settings.ENCRYPTION_KEYS = (("old", b"x" * 32),)

    with pytest.raises(UnsealError, match="does not open"):
        unseal(sealed, "p")


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
    for sealed in (garbage, b"dev:" + garbage):
        with pytest.raises(UnsealError):
            unseal(sealed, "p")
