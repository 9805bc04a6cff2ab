"""What a benchmark run says, for people and for programs. Pure."""

from __future__ import annotations

from dataclasses import asdict

from delivery.bench.run import Phase, Plan


def as_json(plan: Plan, saturation: Phase, open_loop: Phase | None, floor: dict[str, float]) -> dict[str, object]:
    """`latency_ms` is the open loop's (the saturation's without one); counts cover both phases."""
    phases = [phase for phase in (saturation, open_loop) if phase]
    rate = deliveries_per_s(saturation)
    return {
        "accepted": sum(phase.accepted for phase in phases),
        "deliveries_per_s": round(rate, 1),
        "floor_per_s": floor["requests_per_s"],
        "share_of_floor": round(rate / floor["requests_per_s"], 3),
        "latency_ms": (open_loop or saturation).latency_ms,
        "cpu_us_per_delivery": saturation.cpu_us_per_delivery,
        "floor_cpu_us": floor["cpu_us_per_request"],
        "lost": sum(phase.lost for phase in phases),
        "duplicates": sum(phase.duplicates for phase in phases),
        "fan_out": plan.fan_out,
        "workers": plan.workers,
        "governed": plan.governed,
        "saturation": asdict(saturation),
        "open_loop": asdict(open_loop) if open_loop else None,
    }


def as_text(plan: Plan, saturation: Phase, open_loop: Phase | None, floor: dict[str, float]) -> str:
    rate = deliveries_per_s(saturation)
    lines = [
        "",
        f"saturation   {rate:10,.0f} deliveries/s   {saturation.accepted} events, fan-out {plan.fan_out},"
        f" {saturation.wall_s:.1f} s from the first publish to the last committed result",
        f"floor        {floor['requests_per_s']:10,.0f} requests/s     bare libcurl-multi loop, same sink;"
        f" ours is {rate / floor['requests_per_s']:.0%} of it",
    ]
    if open_loop:
        times = "  ".join(f"{name} {value:.1f}" for name, value in open_loop.latency_ms.items())
        lines.append(f"open loop    {plan.rate:10,.0f} events/s       publish → received, ms: {times}")
    used = "  ".join(f"{name} {value:g}" for name, value in saturation.cpu_us_per_delivery.items())
    lines.append(f"CPU          {sum(saturation.cpu_us_per_delivery.values()):10,.0f} µs/delivery    {used}")
    phases = [phase for phase in (saturation, open_loop) if phase]
    lost, doubled = (sum(getattr(phase, name) for phase in phases) for name in ("lost", "duplicates"))
    lines.append(f"lost {lost}   duplicates {doubled}   (counted at the sink by webhook-id)")
    return "\n".join(lines)


def deliveries_per_s(phase: Phase) -> float:
    return (phase.expected - phase.lost) / phase.wall_s
