"""Small middlewares of every request: whose address it comes from, and what a page may use."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Next = Callable[[HttpRequest], HttpResponseBase]

# The console needs none of them. https://www.w3.org/TR/permissions-policy/
PERMISSIONS_POLICY: Final = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "microphone",
        "payment",
        "usb",
    )
)


def permissions_policy(get_response: Next) -> Next:
    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return respond


def client_address(get_response: Next) -> Next:
    """Makes REMOTE_ADDR the client's, for throttling and the trail, where proxies of ours stand before us."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        remote = request.META.get("REMOTE_ADDR", "")
        request.META["REMOTE_ADDR"] = address_behind(remote, forwarded, settings.TRUSTED_PROXY_HOPS)
        return get_response(request)

    return respond


def address_behind(remote: str, forwarded_for: str, hops: int) -> str:
    """The client's address when `hops` trusted proxies each appended to X-Forwarded-For the peer that they saw.

    Counted from the right: what stands further left was written by the client. `remote` itself when there are fewer
    entries than proxies, or that entry is no address.
    """
    entries = [entry.strip() for entry in forwarded_for.split(",")] if forwarded_for else []
    if not 0 < hops <= len(entries):
        return remote
    return plain_address(entries[-hops]) or remote


def plain_address(entry: str) -> str | None:
    """192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:4711 → the address; an IPv4-mapped one is IPv4."""
    host = entry[1:].partition("]")[0] if entry.startswith("[") else entry
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
