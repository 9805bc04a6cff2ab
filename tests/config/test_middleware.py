from __future__ import annotations

import pytest

from config.middleware import address_behind

PROXY = "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ("", 0, PROXY),
        ("198.51.100.7", 0, PROXY),  # nobody is trusted: what is written there is the client's own
        ("198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", 1, "198.51.100.7"),  # the left one is forged
        ("203.0.113.9, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        ("198.51.100.7", 2, PROXY),  # one of the two did not write: better one address for all than a forged one
        ("", 1, PROXY),
        ("198.51.100.7:4711", 1, "198.51.100.7"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("[2001:db8::1]", 1, "2001:db8::1"),
        ("2001:db8::1", 1, "2001:db8::1"),
        ("::ffff:198.51.100.7", 1, "198.51.100.7"),
        ("unknown", 1, PROXY),
        ("198.51.100.7,", 1, PROXY),
        ("198.51.100.07", 1, PROXY),
        ("x" * 10_000, 1, PROXY),
    ],
)
def test_client_is_what_the_outermost_trusted_proxy_saw(forwarded: str, hops: int, address: str) -> None:
    assert address_behind(PROXY, forwarded, hops) == address
