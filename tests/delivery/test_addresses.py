from __future__ import annotations

import pytest

from delivery.addresses import AddressPolicy

DENIED = [
    ("0.0.0.0", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "CGNAT"),
    ("100.127.255.255", "CGNAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.9", "protocol assignments"),
    ("192.0.0.170", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:a9fe:a9fe", "link-local"),
    ("::ffff:0:8.8.8.8", "outside the global unicast range"),
    ("64:ff9b::127.0.0.1", "NAT64 of 127.0.0.1: loopback"),
    ("64:ff9b::a9fe:a9fe", "NAT64 of 169.254.169.254: link-local"),
    ("64:ff9b:1::8.8.8.8", "local-use NAT64"),
    ("100::1", "discard-only"),
    ("100:0:0:1::1", "outside the global unicast range"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:1::1", "protocol assignments"),
    ("2001:2::1", "benchmarking"),
    ("2001:10::1", "ORCHID"),
    ("2001:2f:ffff::1", "ORCHIDv2"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3ffe::1", "6bone"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "outside the global unicast range"),
    ("5f00::1", "SRv6"),
    ("fc00::1", "unique local"),
    ("fd12:3456:789a::1", "unique local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
    ("localhost", "not an IP address"),
    ("127.1", "not an IP address"),
    ("", "not an IP address"),
]

ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "3ffd::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize(("address", "reason"), DENIED)
def test_denied(address: str, reason: str) -> None:
    policy = AddressPolicy()
    assert reason in policy.refusal(address)
    assert not policy.check(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_global_unicast_is_allowed(address: str) -> None:
    assert AddressPolicy().refusal(address) == ""


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("10.1.3.1", False),
        ("128.0.0.1", True),
        ("64:ff9b::127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("169.254.169.254", False),
    ],
)
def test_allowed_networks_open_what_they_name_and_no_more(address: str, allowed: bool) -> None:
    assert AddressPolicy(["127.0.0.0/8", "::1/128", "10.1.2.0/24"]).check(address) is allowed


@pytest.mark.parametrize("cidr", ["", "localhost", "127.0.0.1/8", "10.0.0.0/33"])
def test_bad_cidr_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        AddressPolicy([cidr])
