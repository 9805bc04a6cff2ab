"""The console's rooms, in the frame of every page: what is on now, what waits for people, what keeps it running."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission


@dataclass(frozen=True, slots=True)
class Room:
    """One entry. `count`: the context variable with how many wait there, if any, and what those are called.

    `needs`: shown to whoever has it in some tenant; None: also to nobody in particular. `by_tenant`: its list takes
    ?tenant=SLUG, and the way there carries the tenant that the reader has chosen.
    `needs`: shown to whoever has it in some tenant; None: also to nobody in particular. `platform`: True for the platform's
    people alone, False for all others.
    """

    url_name: str
    label: str
    count: str = ""
    counted: str = ""
    tone: str = ""
    needs: Permission | None = Permission.VIEW
    by_tenant: bool = False
    platform: bool | None = None


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    rooms: tuple[Room, ...]


GROUPS = (
    Group(
        "Live",
        (
            Room("overview", "Overview", by_tenant=True),
            Room("deliveries", "Deliveries", by_tenant=True),
            Room("events", "Events", by_tenant=True),
            Room("subscribers", "Subscribers", by_tenant=True),
            Room("feed", "Feed", by_tenant=True),
        ),
    ),
    Group(
        "Respond",
        (
            Room("alerts", "Alerts", "alerts_firing", "firing now", "alarm", by_tenant=True),
            Room("replays", "Replays", by_tenant=True),
            Room("approvals", "Approvals", "approvals_waiting", "waiting for you", by_tenant=True),
            Room("work-orders", "Work orders", by_tenant=True),
            Room("runbook", "Runbook"),
        ),
    ),
    Group(
        "Account for",
        (
            Room("objectives", "Objectives"),
            Room("audit-trail", "Audit trail"),
            Room("system", "System", platform=True),
            Room("readyz", "Health", needs=None, platform=False),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A room as one page shows it. `current`: "page" (this one), "true" (one within it), or ""."""

    url: str
    label: str
    current: str
    count: str
    counted: str
    tone: str


def groups(
    request: HttpRequest, counts: Mapping[str, Callable[[], str]], tenant: str = ""
) -> list[tuple[str, list[Entry]]]:
    """What the reader may see, grouped. `counts` by Room.count, each asked for only where its room is shown."""
    principal = principal_of(request)
    shown = ((group.label, _seen(group.rooms, principal)) for group in GROUPS)
    return [(label, [_entry(room, request.path, counts, tenant) for room in seen]) for label, seen in shown if seen]


def takes_tenant(url_name: str) -> bool:
    return any(room.by_tenant for group in GROUPS for room in group.rooms if room.url_name == url_name)


def rooms_named(words: str, principal: Principal, tenant: str = "") -> list[tuple[str, str]]:
    """(label, URL) of those that the reader may see, and whose name has a word that begins with `words`; all for ""."""
    sought = words.lower()
    return [
        (room.label, address(room, tenant))
        for group in GROUPS
        for room in _seen(group.rooms, principal)
        if any(part.startswith(sought) for part in (room.label.lower(), *room.label.lower().split()))
    ]


def address(room: Room, tenant: str) -> str:
    return reverse(room.url_name) + (f"?{urlencode({'tenant': tenant})}" if tenant and room.by_tenant else "")


def _seen(rooms: tuple[Room, ...], principal: Principal) -> list[Room]:
    return [room for room in rooms if _is_shown(room, principal)]


def _is_shown(room: Room, principal: Principal) -> bool:
    if room.platform is not None and room.platform is not principal.may(Permission.VIEW, None):
        return False
    return room.needs is None or principal.may_anywhere(room.needs)


def _entry(room: Room, path: str, counts: Mapping[str, Callable[[], str]], tenant: str) -> Entry:
    url = reverse(room.url_name)
    current = "page" if path == url else "true" if path.startswith(f"{url}/") else ""
    count = counts[room.count]() if room.count in counts else ""
    return Entry(address(room, tenant), room.label, current, count, room.counted, room.tone)
