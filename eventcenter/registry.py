"""The event types of this deployment: files → table → the compiled schemas that each process holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from eventcenter.follow import Followed
from eventcenter.models import EventType
from eventcenter.schemas import EventTypeSchema, SchemaSet, load_schemas

SCHEMA_DIRECTORY = Path(settings.BASE_DIR) / "config" / "events" / "schemas"


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Names of what was made or changed, e.g. "plugin.release.published v1"."""

    created: list[str]
    updated: list[str]


def sync_event_types(directory: Path = SCHEMA_DIRECTORY) -> SyncReport:
    """Bring the table up to the files. What is only in the table stays; `active` is never touched."""
    report = SyncReport([], [])
    for found in load_schemas(directory):
        values = {"description": found.description, "schema": found.schema}
        stored, created = EventType.objects.get_or_create(name=found.type, version=found.version, defaults=values)
        if created:
            report.created.append(str(stored))
        elif (stored.description, stored.schema) != (found.description, found.schema):
            EventType.objects.filter(pk=stored.pk).update(**values)
            report.updated.append(str(stored))
    return report


def _load() -> SchemaSet:
    active = EventType.objects.filter(active=True)
    return SchemaSet([EventTypeSchema(row.name, row.version, row.description, row.schema) for row in active])


schemas: Followed[SchemaSet] = Followed(_load)
