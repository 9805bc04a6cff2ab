"""Is it us or them: whose a failure, or a wait, is. Pure."""

from __future__ import annotations

from enum import StrEnum

from delivery.outcome import ErrorKind


class Side(StrEnum):
    """Who can end it."""

    THEIRS = "theirs"  # whoever runs the receiver
    OURS = "ours"  # whoever runs the Event Center
    SETTINGS = "settings"  # whoever set the endpoint or the subscription up
    NOBODY = "nobody"  # nothing is wrong


SIDE_WORDS = {
    Side.THEIRS: "It is them",
    Side.OURS: "It is us",
    Side.SETTINGS: "It is a setting",
    Side.NOBODY: "",
}

_SIDES = {
    ErrorKind.INTERNAL: Side.OURS,
    ErrorKind.SHUTDOWN: Side.OURS,
    ErrorKind.UNSIGNED: Side.OURS,
    ErrorKind.FORBIDDEN_ADDRESS: Side.SETTINGS,
    ErrorKind.BAD_URL: Side.SETTINGS,
    ErrorKind.BAD_REQUEST_HEADER: Side.SETTINGS,
    ErrorKind.TEMPLATE: Side.SETTINGS,
    ErrorKind.ENDPOINT_PAUSED: Side.SETTINGS,
    ErrorKind.ENDPOINT_DISABLED: Side.SETTINGS,
    ErrorKind.ENDPOINT_DELETED: Side.SETTINGS,
    ErrorKind.RATE_LIMIT: Side.SETTINGS,
    ErrorKind.IN_FLIGHT_CAP: Side.SETTINGS,
    ErrorKind.REDIRECT: Side.SETTINGS,
    ErrorKind.ORDERING: Side.NOBODY,
    ErrorKind.BACKLOG: Side.NOBODY,
    ErrorKind.EVENT_EXPIRED: Side.NOBODY,
}

# What an answer most often means to who must act on it.
_STATUS_HINTS = {
    400: "It does not take this message: compare the request below with what it expects.",
    401: "It does not take our signature or credentials: compare the secret with theirs.",
    403: "It does not take our signature or credentials: compare the secret with theirs.",
    404: "There is nothing at that address: check the endpoint’s URL.",
    405: "It takes no POST there: check the endpoint’s URL.",
    413: "The message is too large for it.",
    422: "It does not take this message: compare the request below with what it expects.",
    429: "It asks us to slow down: give the endpoint a rate limit, or let it wait.",
}
_SETTING_STATUSES = frozenset({401, 403, 404, 405})


def side_of(error_kind: str, status_code: int | None) -> Side:
    """Of a failed attempt or a hold. What is not known is the receiver's."""
    if error_kind == ErrorKind.HTTP_STATUS:
        return Side.SETTINGS if status_code in _SETTING_STATUSES else Side.THEIRS
    return _SIDES.get(ErrorKind(error_kind), Side.THEIRS) if error_kind in set(ErrorKind) else Side.THEIRS


def hint_of(error_kind: str, status_code: int | None) -> str:
    """What the answer most often means; "" when it says no more than itself."""
    return _STATUS_HINTS.get(status_code or 0, "") if error_kind == ErrorKind.HTTP_STATUS else ""
