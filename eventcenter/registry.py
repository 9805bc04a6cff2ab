"""The event types of this deployment: files → table → the compiled schemas that each process holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from audit.trail import LONGEST, PLATFORM_CHAIN, Actor, record
from eventcenter.follow import Followed
from eventcenter.models import EventType
from eventcenter.schemas import EventTypeSchema, SchemaSet, load_schemas

ACTOR = Actor("system:sync_event_types")
TARGET_LENGTH = LONGEST["target"]
SCHEMA_DIRECTORY = Path(settings.BASE_DIR) / "config" / "events" / "schemas"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Names of what was made or changed, e.g. "plugin.release.published v1"."""

    created: list[str]
    updated: list[str]


def sync_event_types(directory: Path = SCHEMA_DIRECTORY) -> SyncReport:
    """Bring the table up to the files. What is only in the table stays; `active` is never touched."""
    report = SyncReport([], [])
    with transaction.atomic():
        for found in load_schemas(directory):
            values = {"description": found.description, "schema": found.schema}
            stored, created = EventType.objects.get_or_create(name=found.type, version=found.version, defaults=values)
            if created:
                report.created.append(str(stored))
                _record("event_type.created", found, sorted(values))
                continue
            changed = [name for name, value in values.items() if getattr(stored, name) != value]
            if changed:
                EventType.objects.filter(pk=stored.pk).update(**values)
                report.updated.append(str(stored))
                _record("event_type.changed", found, changed)
    return report


def _record(action: str, found: EventTypeSchema, fields: list[str]) -> None:
    """The schema itself stands in its file, under version control."""
    target = f"event_type:{found.type}/{found.version}"
    record(PLATFORM_CHAIN, ACTOR, action, target[:TARGET_LENGTH], {"fields": fields})


def _load() -> SchemaSet:
    active = EventType.objects.filter(active=True)
    return SchemaSet([EventTypeSchema(row.name, row.version, row.description, row.schema) for row in active])


schemas: Followed[SchemaSet] = Followed(_load)
