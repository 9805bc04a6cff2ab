"""What states, errors and times are called on pages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from delivery.outcome import ErrorKind, OutcomeKind

ERROR_WORDS = {
    ErrorKind.DNS: "name not found",
    ErrorKind.CONNECT_REFUSED: "connection refused",
    ErrorKind.UNREACHABLE: "unreachable",
    ErrorKind.CONNECT_TIMEOUT: "no connection in time",
    ErrorKind.TIMEOUT: "no answer in time",
    ErrorKind.TLS: "TLS failed",
    ErrorKind.RESET: "connection reset",
    ErrorKind.FORBIDDEN_ADDRESS: "address not allowed",
    ErrorKind.HTTP_STATUS: "refused",
    ErrorKind.REDIRECT: "redirect, not followed",
    ErrorKind.PROTOCOL: "answer is not HTTP",
    ErrorKind.BAD_URL: "URL unusable",
    ErrorKind.BAD_REQUEST_HEADER: "custom header unusable",
    ErrorKind.IN_FLIGHT_CAP: "too many in flight",
    ErrorKind.SHUTDOWN: "worker was stopping",
    ErrorKind.ENDPOINT_PAUSED: "endpoint paused",
    ErrorKind.ENDPOINT_DISABLED: "endpoint disabled",
    ErrorKind.ENDPOINT_DELETED: "endpoint deleted",
    ErrorKind.EVENT_EXPIRED: "event past retention",
    ErrorKind.BREAKER_OPEN: "breaker open",
    ErrorKind.RETRY_AFTER: "receiver asked to wait",
    ErrorKind.RATE_LIMIT: "rate limit",
    ErrorKind.ORDERING: "waits for the one before it",
    ErrorKind.BACKLOG: "endpoint is catching up",
    ErrorKind.UNSIGNED: "signing secret unreadable",
    ErrorKind.BROKER: "refused by the broker or service",
    ErrorKind.TEMPLATE: "template cannot be filled",
    ErrorKind.INTERNAL: "our fault",
}
DEAD_WORDS = {
    "spent": "every attempt of the schedule was made",
    "too_old": "the maximum age is over, or would be before the next attempt",
    "gone": "the receiver answered 410 Gone, which also disabled the endpoint",
    "permanent": "no retry could have helped",
}
DEAD_LABELS = {"spent": "schedule spent", "too_old": "too old", "gone": "410 Gone", "permanent": "not retried"}
SEVERITY_TONES = {"critical": "bad", "error": "bad", "warning": "warn", "info": "info"}
OUTCOME_TONES = {OutcomeKind.DELIVERED: "good", OutcomeKind.GONE: "bad", OutcomeKind.PERMANENT: "bad"}
OUTCOME_WORDS = {
    OutcomeKind.DELIVERED: "Delivered",
    OutcomeKind.FAILED: "Failed",
    OutcomeKind.PERMANENT: "Failed for good",
    OutcomeKind.GONE: "Gone",
    OutcomeKind.THROTTLED: "Throttled",
    OutcomeKind.DEFERRED: "Held",
}

REPLAY_TONES = {
    "draft": "mute",
    "running": "info",
    "paused": "warn",
    "cancelled": "mute",
    "done": "good",
}


@dataclass(frozen=True, slots=True)
class Doing:
    """What a job does to many deliveries, in words, and the page that makes another one."""

    verb: str
    done: str
    noun: str
    new_page: str
    explained: str
    nothing_fits: str


DOINGS = {  # by ReplayAction
    "replay": Doing(
        "Replay",
        "replayed",
        "replay",
        "replay-new",
        "Each goes out once more under its own webhook-id, with a fresh schedule of retries, so a receiver that keeps to"
        " Standard Webhooks takes it once.",
        "What is still open is not taken: only deliveries that are dead, delivered or cancelled can be sent once more.",
    ),
    "cancel": Doing(
        "Cancel",
        "cancelled",
        "cancel",
        "cancel-new",
        "No further attempt is made of them, and their receivers do not get them; an attempt that is on its way at this moment"
        " may still arrive. What ends by itself before its turn is left as it is. A replay can bring them back while their events"
        " are kept.",
        "What has ended is not taken: only deliveries that are pending or retrying can be cancelled.",
    ),
}

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def error_words(kind: str) -> str:
    """For an error_kind; a kind that is not known here stands for itself."""
    return ERROR_WORDS.get(ErrorKind(kind), kind) if kind in set(ErrorKind) else kind.replace("_", " ")


def dead_label(reason: str) -> str:
    """For a list's row."""
    return DEAD_LABELS.get(reason) or error_words(reason)


def dead_words(reason: str) -> str:
    """For a sentence."""
    return DEAD_WORDS.get(reason) or error_words(reason)


def outcome_words(kind: str) -> str:
    return OUTCOME_WORDS[OutcomeKind(kind)] if kind in set(OutcomeKind) else kind


def outcome_tone(kind: str) -> str:
    return OUTCOME_TONES.get(OutcomeKind(kind), "warn") if kind in set(OutcomeKind) else "warn"


def doing(action: str) -> Doing:
    return DOINGS[action]


def replay_tone(state: str) -> str:
    return REPLAY_TONES.get(state, "mute")


def severity_tone(severity: str) -> str:
    return SEVERITY_TONES.get(severity, "mute")


def result_words(status_code: int | None, error_kind: str) -> str:
    """The last result in a few words: "200", "503 refused", "no answer in time"; "" before the first attempt."""
    words = "" if error_kind in ("", ErrorKind.HTTP_STATUS) else error_words(error_kind)
    return " ".join(part for part in (str(status_code or ""), words) if part)


def duration_words(ms: float) -> str:
    """3 ms, 1.24 s, 2 m 05 s."""
    if ms < 1:
        return "<1 ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < MINUTE_S * 1000:
        return f"{ms / 1000:.3g} s"
    return span_words(ms / 1000)


def span_words(seconds: float) -> str:
    """The two largest units at most: 12 s, 4 m 10 s, 3 h 05 m, 2 d 4 h."""
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} m {whole % MINUTE_S:02d} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} m"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def due_words(at: datetime, now: datetime) -> str:
    """For a next attempt: "in 4 m 10 s", or "overdue by 12 s" while nobody has taken it."""
    late = (now - at).total_seconds()
    return ago_words(at, now) if late < 1 else f"overdue by {span_words(late)}"


def ago_words(at: datetime, now: datetime) -> str:
    """From now: "just now", "12 s ago", "in 4 m 10 s"."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span_words(seconds)} ago" if seconds > 0 else f"in {span_words(-seconds)}"


def reingested_words(accepted: int, duplicates: int, refused: int, settled: int) -> str:
    """What a press did with several: "412 sent to the bus; 3 were duplicates; 85 would still be rejected"."""
    parts = [f"{accepted:,} sent to the bus"]
    parts += [f"{duplicates:,} were known already"] if duplicates else []
    parts += [f"{refused:,} would still be rejected, and stay"] if refused else []
    parts += [f"{settled:,} had been settled by somebody else"] if settled else []
    return "; ".join(parts) + "."
