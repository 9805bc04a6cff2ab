"""What Redis says of itself, and how many hints wait in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import redis
from django.conf import settings

from delivery.models import DispatchLane
from delivery.queue_order import QUEUE_PREFIX
from delivery.system.kept import Kept, Look
from delivery.telemetry.gauges import REDIS_TIMEOUT_S

_kept: Final[Kept[Queues]] = Kept(fresh_s=1.5, old_s=10.0)


@dataclass(frozen=True, slots=True)
class Queues:
    """`depth`: lane → hints. `version`: with the product's name."""

    depth: dict[str, int]
    version: str
    memory_bytes: int
    uptime_s: int


def read() -> Look[Queues]:
    return _kept.get(settings.REDIS_URL, _ask)


def _ask() -> Queues:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )
    with client, client.pipeline(transaction=False) as pipe:
        for lane in DispatchLane.values:
            pipe.llen(QUEUE_PREFIX + lane)
        pipe.info()
        *depths, info = pipe.execute()
    return _told(dict(zip(DispatchLane.values, map(int, depths), strict=True)), info)


def _told(depth: dict[str, int], info: dict[str, Any]) -> Queues:
    valkey = info.get("valkey_version")
    version = f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', '?')}"
    return Queues(depth, version, int(info.get("used_memory", 0)), int(info.get("uptime_in_seconds", 0)))
