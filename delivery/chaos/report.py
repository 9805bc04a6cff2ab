"""What a chaos run says, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

LOST_MOST = 0
DUPLICATES_MOST_SHARE = 0.001
RECOVERY_MOST_S = 30.0
HEADINGS = ("round", "fault", "lasted s", "recovery s", "delivered", "duplicates", "p50 ms", "p99 ms", "max ms")


@dataclass(frozen=True, slots=True)
class Round:
    """One fault and what followed. `delivered` and `duplicates` count this round only; latencies are the healthy ones', of
    events that were written to Kafka.

    `recovery_s` None: not recovered when the wait for it was given up.
    """

    number: int
    fault: str
    lasted_s: float
    recovery_s: float | None
    delivered: int
    duplicates: int
    latency_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run. `accepted` counts the deliveries that accepted events owe (event × subscription)."""

    seed: int
    events: int
    accepted: int
    delivered: int
    duplicates: int
    rounds: Sequence[Round]
    recovery_limit_s: float  # how long a round waited at most
    wall_s: float
    drain_s: float
    decoy_calls: int
    flooded_bytes_most: int
    unanswered: int
    refused: Sequence[str]  # answers to publishers that no repeat can help
    ended: Sequence[str]  # processes of ours that ended by themselves
    acted: dict[str, int]
    doubled: Sequence[str]  # webhook-ids of the first of them

    @property
    def lost(self) -> int:
        return self.accepted - self.delivered

    @property
    def recovery_s_max(self) -> float:
        waits = [each.recovery_s if each.recovery_s is not None else self.recovery_limit_s for each in self.rounds]
        return round(max(waits, default=0.0), 2)

    def broken(self) -> list[str]:
        """The bars that this run breaks, in words."""
        share = self.duplicates / max(self.delivered, 1)
        bars = {
            f"lost {self.lost}, allowed {LOST_MOST}": self.lost != LOST_MOST,
            f"duplicates {share:.3%}, allowed {DUPLICATES_MOST_SHARE:.1%}": share > DUPLICATES_MOST_SHARE,
            f"recovery {self.recovery_s_max:g} s, allowed {RECOVERY_MOST_S:g} s": self.recovery_s_max > RECOVERY_MOST_S,
            f"a redirect was followed {self.decoy_calls} times": self.decoy_calls > 0,
            f"refused: {', '.join(sorted(set(self.refused))[:5])}": bool(self.refused),
            f"ended by themselves: {', '.join(self.ended)}": bool(self.ended),
        }
        return [words for words, is_broken in bars.items() if is_broken]


def as_json(result: Result) -> dict[str, object]:
    return {
        "accepted": result.accepted,
        "delivered": result.delivered,
        "lost": result.lost,
        "duplicates": result.duplicates,
        "duplicates_share": round(result.duplicates / max(result.delivered, 1), 6),
        "rounds": len(result.rounds),
        "recovery_s_max": result.recovery_s_max,
        "seed": result.seed,
        "events": result.events,
        "wall_s": round(result.wall_s, 1),
        "drain_s": round(result.drain_s, 1),
        "decoy_calls": result.decoy_calls,
        "flooded_bytes_most": result.flooded_bytes_most,
        "api_calls_repeated": result.unanswered,
        "receiver_acts": dict(sorted(result.acted.items())),
        "broken": result.broken(),
        "faults": [asdict(each) for each in result.rounds],
    }


def heading() -> str:
    return _row(HEADINGS)


def row(each: Round) -> str:
    recovery = "never" if each.recovery_s is None else f"{each.recovery_s:.1f}"
    latencies = [f"{each.latency_ms.get(name, 0):.0f}" for name in ("p50", "p99", "max")]
    cells = (str(each.number), each.fault, f"{each.lasted_s:.1f}", recovery, str(each.delivered), str(each.duplicates))
    return _row((*cells, *latencies))


def _row(cells: Sequence[str]) -> str:
    number, fault, *rest = cells
    return f"{number:>5}  {fault:<40}" + "".join(f"{cell:>12}" for cell in rest)


def as_text(result: Result) -> str:
    share = result.duplicates / max(result.delivered, 1)
    lines = [
        "",
        f"{result.accepted:,} deliveries of {result.events:,} accepted events in {result.wall_s:.0f} s,"
        f" {len(result.rounds)} rounds, seed {result.seed}",
        f"lost {result.lost}   duplicates {result.duplicates} ({share:.3%})   longest recovery {result.recovery_s_max:g} s"
        f"   drained in {result.drain_s:.1f} s",
        f"publish calls made again {result.unanswered}   decoy called {result.decoy_calls} times"
        f"   most of an endless answer taken {result.flooded_bytes_most:,} bytes",
    ]
    broken = result.broken()
    lines.append("BROKEN: " + "; ".join(broken) if broken else "all bars held")
    return "\n".join(lines)
