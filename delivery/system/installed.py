"""What runs here: versions, migrations, flags, and the settings that decide how it behaves. Never a secret."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, LiteralString, NamedTuple

import confluent_kafka
import django
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from eventcenter.flags import states
from eventcenter.store import rows
from eventcenter.worker import instance_name

STARTED_AT: Final = timezone.now()  # of this process, or of the one it was forked from

MIGRATIONS: LiteralString = "SELECT app, name FROM django_migrations"
REVISION: LiteralString = "SELECT revision FROM eventcenter_configrevision LIMIT 1"

# What people ask for at night, by the name that stands in the settings and, as a rule, in the environment.
SHOWN: Final = (
    (
        "Events bus",
        ("KAFKA_EVENTS_TOPIC", "KAFKA_CONSUMER_GROUP", "KAFKA_EVENTS_PARTITIONS", "KAFKA_EVENTS_RETENTION_HOURS"),
    ),
    (
        "Sending",
        ("WEBHOOK_MAX_IN_FLIGHT", "WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT", "WEBHOOK_MAX_TIMEOUT_S", "DISPATCH_LEASE_S"),
    ),
    (
        "Breakers",
        (
            "BREAKER_MIN_COUNT",
            "BREAKER_FAILURE_SHARE",
            "BREAKER_WINDOW_S",
            "BREAKER_CONSECUTIVE",
            "BREAKER_FIRST_WAIT_S",
            "BREAKER_MAX_WAIT_S",
            "ENDPOINT_DISABLE_AFTER_HOURS",
        ),
    ),
    ("People", ("APPROVAL_REPLAY_COUNT", "APPROVAL_EXPIRES_HOURS", "WORK_ORDERS_BY_RULE", "SIGNING_KEY_ROTATE_DAYS")),
    ("Kept", ("RETENTION_DAYS_FEED", "RETENTION_DAYS_IDEMPOTENCY", "COUNTER_MINUTES_DAYS")),
    ("Sign-in", ("PASSWORD_SIGN_IN", "OIDC_ON", "SESSION_COOKIE_AGE", "SESSION_MAX_AGE_S")),
    ("Place", ("ENVIRONMENT", "PUBLIC_URL", "OPS_TENANT")),
)


class Version(NamedTuple):
    part: str
    version: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """`waiting`: on disk and not applied; `unknown`: applied by a newer version than this one."""

    applied: int
    waiting: tuple[str, ...]
    unknown: tuple[str, ...]


def versions() -> list[Version]:
    """Of what this process is made of; those of services come with what is asked of them."""
    return [
        Version("Event Center", str(settings.SPECTACULAR_SETTINGS["VERSION"])),
        Version("Python", platform.python_version()),
        Version("Django", django.get_version()),
        Version("Kafka client", f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"),
    ]


def web_process() -> tuple[str, str]:
    """This very process, which beats nowhere: its instance, and what it is named."""
    return instance_name(), os.environ.get("PROCESS_NAME", "web")


def migrations() -> Migrations:
    """One query."""
    applied = {(app, name) for app, name in rows(MIGRATIONS, [])}
    ours = {app for app, _ in _on_disk()}
    waiting = _on_disk() - applied
    unknown = {(app, name) for app, name in applied - _on_disk() if app in ours}
    return Migrations(len(applied), tuple(sorted(map(".".join, waiting))), tuple(sorted(map(".".join, unknown))))


def flags() -> Iterator[tuple[str, bool, str]]:
    """(name, whether anybody has it, for whom). From the process' own copy."""
    for flag, state in states.get().items():
        if isinstance(state, bool):
            yield flag.value, state, "everybody" if state else "nobody"
        else:
            yield flag.value, bool(state), ", ".join(sorted(state)) or "nobody"


def revision() -> int:
    found = rows(REVISION, [])
    return int(found[0][0]) if found else 0


def shown_settings() -> list[tuple[str, list[tuple[str, str]]]]:
    return [(label, [(name, str(getattr(settings, name)) or "–") for name in names]) for label, names in SHOWN]


@cache
def _on_disk() -> frozenset[tuple[str, str]]:
    """A swapped app (waffle) has none. Squashed ones are told by their own names."""
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)
