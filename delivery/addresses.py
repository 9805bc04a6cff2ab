"""Which addresses a webhook may connect to: global unicast, and what the deployment allows besides.

The tables are written out because `ipaddress.is_global` changes between Python versions. Sources: the IANA IPv4 and IPv6
Special-Purpose Address Registries, the IANA IPv6 Global Unicast assignments, RFC 5771 and RFC 4291 (multicast).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

DENIED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(cidr), name)
    for cidr, name in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared address space, CGNAT (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("169.254.0.0/16", "link-local (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "IETF protocol assignments (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.88.99.0/24", "6to4 relay anycast (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
    )
)

DENIED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(cidr), name)
    for cidr, name in (
        ("::/128", "unspecified (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::/96", "IPv4-compatible (RFC 4291)"),
        ("64:ff9b:1::/48", "local-use NAT64 (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001:2::/48", "benchmarking (RFC 5180)"),
        ("2001:10::/28", "ORCHID (RFC 4843)"),
        ("2001:20::/28", "ORCHIDv2 (RFC 7343)"),
        ("2001::/23", "IETF protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4 (RFC 3056)"),
        ("3ffe::/16", "6bone, returned (RFC 3701)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "SRv6 segment identifiers (RFC 9602)"),
        ("fc00::/7", "unique local (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)

# IANA has assigned nothing outside 2000::/3 for global unicast.
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is meant


class AddressPolicy:
    """Decides by address, never by name. Immutable; safe to share between threads."""

    def __init__(self, allowed: Iterable[str | Network] = ()) -> None:
        """`allowed`: CIDRs (host bits must be zero) that are let through whatever the tables say.

        Raises ValueError for what is not a CIDR.
        """
        self.allowed: tuple[Network, ...] = tuple(ip_network(network) for network in allowed)

    def refusal(self, address: str) -> str:
        """Why `address` (text, as a socket takes it) must not be connected to; "" when it may be."""
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        target = mapped if mapped is not None else ip
        if any(target in network for network in self.allowed):
            return ""
        return _refusal_v4(target) if isinstance(target, IPv4Address) else _refusal_v6(target)

    def check(self, address: str) -> bool:
        """True when `address` may be connected to."""
        return not self.refusal(address)


def _refusal_v4(ip: IPv4Address) -> str:
    return next((name for network, name in DENIED_V4 if ip in network), "")


def _refusal_v6(ip: IPv6Address) -> str:
    if ip in NAT64:
        inner = IPv4Address(int(ip) & 0xFFFF_FFFF)
        reason = _refusal_v4(inner)
        return f"NAT64 of {inner}: {reason}" if reason else ""
    reason = next((name for network, name in DENIED_V6 if ip in network), "")
    if reason or ip in GLOBAL_UNICAST_V6:
        return reason
    return "outside the global unicast range (RFC 4291)"
