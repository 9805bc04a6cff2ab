"""The digest of a link, as a verifier outside this project would compute it from the docstring alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit.chain import GENESIS, Link, digest

LINK = Link(
    chain="acme",
    position=1,
    at=datetime(2025, 11, 5, 12, 0, tzinfo=UTC),
    actor="user:eva",
    address="198.51.100.7",
    action="endpoint.changed",
    target="endpoint:1",
    details={"url": ["https://a.example", "https://b.example/é"], "active": True},
)


def test_digest_is_that_of_the_written_form() -> None:
    text = (
        '{"action":"endpoint.changed","actor":"user:eva","address":"198.51.100.7","at":"2025-11-05T12:00:00.000000+00:00",'
        '"chain":"acme","details":{"active":true,"url":["https://a.example","https://b.example/é"]},"position":1,'
        '"target":"endpoint:1"}'
    )

    assert digest(GENESIS, LINK) == hashlib.sha256(bytes(32) + text.encode()).digest()


def test_digest_is_the_same_when_details_come_in_another_order() -> None:
    turned = dict(reversed(LINK.details.items()))

    assert list(turned) != list(LINK.details)
    assert digest(GENESIS, replace(LINK, details=turned)) == digest(GENESIS, LINK)


@pytest.mark.parametrize(
    "changed",
    [
        {"chain": "acmf"},
        {"position": 2},
        {"at": LINK.at + timedelta(microseconds=1)},
        {"actor": "user:eve"},
        {"address": ""},
        {"action": "endpoint.removed"},
        {"target": "endpoint:2"},
        {"details": {}},
        {"details": LINK.details | {"active": 1}},
        {"actor": 'user:eva","address":"198.51.100.7'},
    ],
)
def test_digest_is_another_when_one_field_is_changed(changed: dict[str, object]) -> None:
    assert digest(GENESIS, replace(LINK, **changed)) != digest(GENESIS, LINK)


def test_digest_is_another_when_the_one_before_is_changed() -> None:
    assert digest(b"\x01" + bytes(31), LINK) != digest(GENESIS, LINK)
