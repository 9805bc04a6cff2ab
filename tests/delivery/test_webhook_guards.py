from __future__ import annotations

import pytest

from delivery.transports.webhook.guards import HeaderGuard, UrlGuard


def test_good_headers_become_lines() -> None:
    guard = HeaderGuard()
    headers = [("webhook-id", "1"), ("Authorization", "Bearer a:b;c"), ("x-empty", "")]
    assert guard.lines(headers) == ["webhook-id: 1", "Authorization: Bearer a:b;c", "x-empty;"]
    assert guard.lines(headers) == guard.lines(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "1\r\nx-b: 2"),
        ("x-a", "1\nx-b: 2"),
        ("x-a", "1\r"),
        ("x-a", "1\0"),
        ("x-a", "\x7f"),
        ("x-a", "grün"),
        ("x-a", "line\u2028"),
        ("x-a\r\nx-b", "1"),
        ("x a", "1"),
        ("x-a:", "1"),
        ("", "1"),
        ("x-ü", "1"),
    ],
)
def test_one_bad_header_refuses_all(name: str, value: str) -> None:
    guard = HeaderGuard()
    assert guard.lines([("x-good", "1"), (name, value), ("x-last", "2")]) is None
    assert guard.lines([(name, value)]) is None


def test_url_is_judged_each_time_it_is_bad() -> None:
    guard = UrlGuard()
    assert guard.refusal("https://hooks.example.com/a") is None
    assert guard.refusal("https://hooks.example.com/a") is None
    for _ in range(2):
        assert "user name" in (guard.refusal("https://u:p@hooks.example.com/") or "")
