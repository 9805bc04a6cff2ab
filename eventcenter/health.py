"""Is it alive, is it ready: what load balancers and `make run` ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from eventcenter.bus import kafka_config
from eventcenter.models import Heartbeat

logger = logging.getLogger(__name__)

ROLES = ("relay", "consumer", "worker", "sweep")
SILENT_AFTER = timedelta(seconds=15)
TIMEOUT_S = 2.0

_admin: AdminClient | None = None


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        connection.close()
        return str(error).strip().splitlines()[0]
    return ""


def check_redis() -> str:
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S).ping()
    except redis.RedisError as error:
        return str(error)
    return ""


def check_kafka() -> str:
    """Asks a client that is kept: making one costs a connection and two threads."""
    global _admin
    _admin = _admin or AdminClient(kafka_config())
    try:
        topics = _admin.list_topics(settings.KAFKA_EVENTS_TOPIC, timeout=TIMEOUT_S).topics
    except KafkaException as error:
        return str(error.args[0])
    topic = topics.get(settings.KAFKA_EVENTS_TOPIC)
    return "" if topic and not topic.error else f"no topic {settings.KAFKA_EVENTS_TOPIC}; run manage.py create_topics"


def check_heartbeats() -> str:
    try:
        seen = set(Heartbeat.objects.seen_since(timezone.now() - SILENT_AFTER).values_list("role", flat=True))
    except Error:
        return "unknown, the database is away"
    silent = [role for role in ROLES if role not in seen]
    return f"silent: {', '.join(silent)}" if silent else ""


def forget_clients() -> None:
    """Drop the kept client, e.g. after the broker's address changed."""
    global _admin
    _admin = None


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "redis": check_redis,
    "kafka": check_kafka,
    "heartbeats": check_heartbeats,
}


def readiness() -> dict[str, str]:
    """Part → "ok" or what is wrong with it."""
    return {name: check() or "ok" for name, check in CHECKS.items()}
