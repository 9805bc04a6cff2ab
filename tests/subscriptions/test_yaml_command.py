"""manage.py sync_subscriptions: its exit codes, its JSON, its colours, and the lines that a mistake stands in."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from subscriptions.models import Endpoint, Tenant
from subscriptions.yaml_sync import SpecError
from subscriptions.yaml_sync.document import load_yaml
from subscriptions.yaml_sync.spec import read_document
from tests.subscriptions.test_yaml_sync import endpoint_data, file_data

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "subscriptions.yaml")


def written(file: Path, **values: Any) -> Path:
    file.write_text(
        yaml.safe_dump(file_data(endpoint_data(url="https://hooks.example.com/a", **values)), sort_keys=False)
    )
    return file


def run(file: Path, **options: Any) -> str:
    out = StringIO()
    call_command("sync_subscriptions", file=file, stdout=out, **options)
    return out.getvalue()


def test_exit_code_is_two_when_there_are_changes_and_it_is_asked_for(file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run(file, dry_run=True, detailed_exitcode=True)
    assert caught.value.code == 2
    assert not Tenant.objects.exists()
    run(file)
    assert run(file, dry_run=True, detailed_exitcode=True).startswith("0 added, 0 changed")


def test_exit_code_is_one_and_the_plan_is_printed_when_it_would_be_refused(file: Path) -> None:
    run(file)
    Endpoint.objects.update(timeout_s=3)
    out = StringIO()
    with pytest.raises(CommandError, match="Without --dry-run this would be refused") as caught:
        call_command("sync_subscriptions", file=file, dry_run=True, stdout=out)
    assert caught.value.returncode == 1
    assert "    timeout_s: file 15; last applied 15; now 3\n" in out.getvalue()
    with pytest.raises(CommandError, match="nothing was changed"):
        run(file)
    assert run(file, overwrite_drift=True).startswith("~ endpoint acme/ci-cd\n")


def test_json_holds_the_plan_when_it_is_asked_for(file: Path) -> None:
    run(file)
    written(file, timeout_s=5, headers={"x-key": "s3cret"})
    assert json.loads(run(file, json=True, dry_run=True)) == {
        "format": 1,
        "applied": False,
        "counts": {"added": 0, "changed": 1, "removed": 0, "unchanged": 2},
        "changes": [
            {
                "action": "change",
                "kind": "endpoint",
                "where": "acme/ci-cd",
                "fields": [
                    {"name": "timeout_s", "before": 15.0, "after": 5.0},
                    {"name": "headers.x-key", "note": "set, value not shown"},
                ],
            }
        ],
        "conflicts": [],
    }


def test_json_holds_conflicts_and_problems_when_the_file_is_refused(file: Path) -> None:
    run(file)
    Endpoint.objects.update(lane="slow")
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("sync_subscriptions", file=file, json=True, stdout=out)
    [conflict] = json.loads(out.getvalue())["conflicts"]
    assert (conflict["where"], conflict["option"]) == ("acme/ci-cd", "--overwrite-drift")
    assert conflict["fields"] == [{"name": "lane", "file": "fast", "applied": "fast", "current": "slow"}]
    file.write_text("version: 2\n")
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("sync_subscriptions", file=file, json=True, stdout=out)
    assert json.loads(out.getvalue())["problems"] == [
        {"path": "version", "message": "takes 1, the version of this format", "line": 1}
    ]


def test_colours_are_for_terminals_and_stay_out_of_files(file: Path) -> None:
    assert "\x1b[" not in run(file, dry_run=True)
    coloured = run(file, dry_run=True, force_color=True)
    assert coloured.splitlines()[0] == "\x1b[32;1m+ tenant acme  Acme\x1b[0m"


def test_tenant_that_the_file_does_not_name_is_refused(file: Path) -> None:
    with pytest.raises(CommandError, match=r"tenants: names no tenant 'nobody' \(--tenant\)"):
        run(file, tenant="nobody")


def test_each_problem_names_its_line_its_path_and_what_is_taken() -> None:
    text = """\
version: 1
tenants:
  - slug: acme
    rate_limit: fast
    endpoints:
      - slug: sink
        channel: kafka
        settings:
          topic: a
          x.y: 1
        subscriptions:
          - {slug: all, types: [a.b], filters: [{any: [{like: {a: b}}]}]}
          - slug: no-types
"""
    with pytest.raises(SpecError) as caught:
        read_document(load_yaml(text), {})
    where = "tenants[0].endpoints[0]"
    assert [str(problem) for problem in caught.value.problems] == [
        "line 4, tenants[0].rate_limit: takes a number from 0.01 to 100000",
        f"line 10, {where}.settings.x.y: is not a setting of this channel; those are: cluster, topic, key",
        f"line 12, {where}.subscriptions[0].filters[0].any[0]: must use one of the dialects exact, prefix, suffix, all, any, not",
        f"line 13, {where}.subscriptions[1].types: takes at least one event type; '*' alone is not one, "
        "name a prefix such as plugin.*",
    ]


@pytest.mark.parametrize("text", ["a: &x [*x]", "? [1]\n: 2", "", "2026-99-99", '"\\ud800": 1', "&a {? *a : 1}"])
def test_strange_yaml_is_refused_without_a_crash(text: str) -> None:
    with pytest.raises(SpecError):
        read_document(load_yaml(text), {})
