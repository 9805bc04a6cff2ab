from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.http import QueryDict

from delivery.console.log_filter import Field, LogFilter, moment
from delivery.console.payload import hex_dump, shown
from delivery.console.rejected_list import Wrong, wrong_fields
from delivery.console.wording import reingested_words

FIELDS = (
    Field("q", "Search", "search"),
    Field("tenant", "Tenant", "choice", "All", [("acme", "acme"), ("rival", "Rival")]),
    Field("since", "From", "moment"),
)


def applied(query: str) -> LogFilter:
    return LogFilter.of(QueryDict(query), FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T22:00", datetime(2026, 1, 31, 22, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T22:00:05.5Z", datetime(2026, 1, 31, 22, 0, 5, 500_000, UTC)),
        ("2026-01-31T22:00+02:00", datetime(2026, 1, 31, 20, tzinfo=UTC)),
        ("2026-01-31T22:00 02:00", datetime(2026, 1, 31, 20, tzinfo=UTC)),  # a plus that a URL made a space
        ("2026-02-31T22:00", None),
        ("9999-12-31T23:59", None),
        ("0001-01-01T00:00+14:00", None),
        ("yesterday", None),
        ("\0", None),
    ],
)
def test_moment_is_read_in_utc_or_not_at_all(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


def test_pills_take_one_filter_away_each_when_several_are_applied() -> None:
    found = applied("q=payments&tenant=rival&since=2026-01-31T22:00")
    assert [(pill.name, pill.value, pill.query) for pill in found.pills] == [
        ("Search", "payments", "tenant=rival&since=2026-01-31T22%3A00"),
        ("Tenant", "Rival", "q=payments&since=2026-01-31T22%3A00"),
        ("From", "2026-01-31 22:00:00 UTC", "q=payments&tenant=rival"),
    ]


def test_wrong_values_filter_nothing_and_say_what_they_take() -> None:
    found = applied("q=a%00b&tenant=nobody&since=soon")
    assert found.query == ""
    assert len(found.problems) == 2
    assert "2026-01-31T22:00" in found.problems[1]


def test_preset_replaces_the_span_when_one_is_applied() -> None:
    words, query = next(iter(applied("q=x&since=2026-01-01").presets(datetime(2026, 1, 31, 22, tzinfo=UTC))))
    assert (words, query) == ("Last hour", "q=x&since=2026-01-31T21%3A00")


def test_json_is_laid_out_with_every_token_as_it_was_sent() -> None:
    raw = b'{"a":1.50,"a":[1e400,{}, []],"b":{"x":"{,\\"\\u00e9"}}'
    text = shown(raw).text
    assert shown(raw).kind == "json"
    assert "".join(text.split()) == "".join(raw.decode().split())
    assert '\n  "b": {\n    "x": "{,' in text


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"", "text"), (b"plain", "text"), (b"{broken", "text"), (b"[" * 3000, "text"), (b"\xff", "binary")],
)
def test_what_is_no_json_is_shown_as_it_stands(raw: bytes, kind: str) -> None:
    found = shown(raw)
    assert (found.kind, found.size, found.cut) == (kind, len(raw), False)
    assert found.text == (raw.decode() if kind == "text" else hex_dump(raw))


def test_large_value_is_cut_and_says_so() -> None:
    found = shown(b'{"a": "' + b"x" * 600_000 + b'"}')
    assert found.cut
    assert len(found.text) == 65_536
    assert shown(b"\xff" * 3000).cut


def test_detail_is_parted_into_the_fields_that_are_wrong() -> None:
    detail = "data.version: is required; see there; data.tags[0]: must be at least 1 characters long"
    assert wrong_fields(detail) == [
        Wrong("is required; see there", "data.version"),
        Wrong("must be at least 1 characters long", "data.tags[0]"),
    ]
    assert wrong_fields("null value in column: x") == [Wrong("null value in column: x")]


def test_words_name_only_what_happened() -> None:
    assert reingested_words(1_412, 0, 0, 0) == "1,412 sent to the bus."
    assert reingested_words(0, 1, 2, 3).count(";") == 3
