from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from eventcenter import registry
from eventcenter.models import EventType
from eventcenter.registry import sync_event_types
from eventcenter.schemas import SchemaError

pytestmark = pytest.mark.django_db


def write(directory: Path, name: str, version: int, **schema: object) -> None:
    (directory / name).mkdir(exist_ok=True)
    (directory / name / f"{version}.json").write_text(json.dumps(schema))


def test_shipped_types_are_known_when_they_were_synced() -> None:
    report = sync_event_types()

    assert report.created == [
        "endpoint.disabled v1",
        "endpoint.failing v1",
        "event.delivery.failed v1",
        "ops.alert.firing v1",
        "ops.alert.resolved v1",
        "plugin.release.published v1",
        "plugin.release.withdrawn v1",
        "signing_key.rotation_due v1",
    ]
    assert registry.schemas.get().knows("plugin.release.published")


def test_nothing_is_written_when_the_table_is_up_to_date() -> None:
    sync_event_types()
    before = list(EventType.objects.values_list("pk", "updated_at"))

    report = sync_event_types()

    assert (report.created, report.updated) == ([], [])
    assert list(EventType.objects.values_list("pk", "updated_at")) == before


def test_table_follows_when_a_file_is_changed_or_new(tmp_path: Path) -> None:
    write(tmp_path, "a.b", 1, description="old")
    sync_event_types(tmp_path)
    assert registry.schemas.get().version_for("a.b", None) == 1

    write(tmp_path, "a.b", 1, description="new", required=["x"])
    write(tmp_path, "a.b", 2)
    report = sync_event_types(tmp_path)

    assert (report.created, report.updated) == (["a.b v2"], ["a.b v1"])
    assert EventType.objects.get(version=1).schema == {"description": "new", "required": ["x"]}
    assert registry.schemas.reload().version_for("a.b", None) == 2


def test_type_stays_when_its_file_is_gone_and_off_when_it_was_switched_off(tmp_path: Path) -> None:
    write(tmp_path, "a.b", 1)
    sync_event_types(tmp_path)
    EventType.objects.update(active=False)
    write(tmp_path, "a.b", 1, description="changed")
    sync_event_types(tmp_path)
    sync_event_types(tmp_path / "a.b")  # nothing there

    assert EventType.objects.get().active is False
    assert not registry.schemas.reload().knows("a.b")


def test_nothing_is_synced_when_one_file_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, "a.b", 1)
    write(tmp_path, "c.d", 1, type="nope")

    with pytest.raises(SchemaError, match=r"c\.d/1\.json"):
        sync_event_types(tmp_path)

    assert not EventType.objects.exists()


def test_command_tells_what_it_did(tmp_path: Path) -> None:
    out = StringIO()
    write(tmp_path, "a.b", 1)

    call_command("sync_event_types", "--directory", str(tmp_path), stdout=out)
    write(tmp_path, "a.b", 1, description="changed")
    call_command("sync_event_types", "--directory", str(tmp_path), stdout=out)

    assert out.getvalue().splitlines() == ["+ a.b v1", "1 made, 0 changed", "~ a.b v1", "0 made, 1 changed"]
