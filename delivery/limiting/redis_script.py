"""A Lua script in a Redis that may be away: what asks it must go on without an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

TIMEOUT_S = 0.25
# After a failure it is not asked for so long: a Redis that hangs must not cost every batch a timeout.
AWAY_S = 1.0
COMPLAIN_EVERY_S = 30.0


class RedisScript:
    """Safe to use from several threads. Connects with the first call."""

    def __init__(self, redis_url: str, script: str, part: str) -> None:
        """`part` names the caller in the log."""
        self._client = redis.Redis.from_url(
            redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._client.register_script(script)
        self._part = part
        self._away_until = self._quiet_until = float("-inf")

    def call(self, keys: Sequence[str], args: Sequence[str | float]) -> object | None:
        """What the script returns; None while Redis is away, or too slow. It may have run even so."""
        if time.monotonic() < self._away_until:
            return None
        try:
            answer: object = self._script(keys=keys, args=args)
            return answer
        except redis.RedisError as error:
            self._note(error)
            return None

    def _note(self, error: redis.RedisError) -> None:
        now = time.monotonic()
        self._away_until = now + AWAY_S
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAIN_EVERY_S
            logger.warning("redis.away", extra={"part": self._part, "why": str(error)})

    def close(self) -> None:
        self._client.close()
