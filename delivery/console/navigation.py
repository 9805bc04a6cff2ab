"""The console's rooms, in the frame of every page: what is on now, what waits for people, what keeps it running."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from eventcenter.access.principal import Principal, principal_of
from eventcenter.access.roles import Permission


@dataclass(frozen=True, slots=True)
class Room:
    """One entry. `count`: the context variable with how many wait there, if any, and what those are called.

    `needs`: shown to whoever has it in some tenant; None: also to nobody in particular. `platform`: True for the platform's
    people alone, False for all others.
    """

    url_name: str
    label: str
    count: str = ""
    counted: str = ""
    tone: str = ""
    needs: Permission | None = Permission.VIEW
    platform: bool | None = None


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    rooms: tuple[Room, ...]


GROUPS = (
    Group(
        "Live",
        (
            Room("deliveries", "Deliveries"),
            Room("feed", "Feed"),
        ),
    ),
    Group(
        "Respond",
        (
            Room("alerts", "Alerts", "alerts_firing", "firing now", "alarm"),
            Room("replays", "Replays"),
            Room("approvals", "Approvals", "approvals_waiting", "waiting for you"),
            Room("work-orders", "Work orders"),
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


def groups(request: HttpRequest, counts: Mapping[str, Callable[[], str]]) -> list[tuple[str, list[Entry]]]:
    """What the reader may see, grouped. `counts` by Room.count, each asked for only where its room is shown."""
    principal = principal_of(request)
    found = []
    for group in GROUPS:
        seen = [room for room in group.rooms if _is_shown(room, principal)]
        if seen:
            found.append((group.label, [_entry(room, request.path, counts) for room in seen]))
    return found


def _is_shown(room: Room, principal: Principal) -> bool:
    if room.platform is not None and room.platform is not principal.may(Permission.VIEW, None):
        return False
    return room.needs is None or principal.may_anywhere(room.needs)


def _entry(room: Room, path: str, counts: Mapping[str, Callable[[], str]]) -> Entry:
    url = reverse(room.url_name)
    current = "page" if path == url else "true" if path.startswith(f"{url}/") else ""
    count = counts[room.count]() if room.count in counts else ""
    return Entry(url, room.label, current, count, room.counted, room.tone)
