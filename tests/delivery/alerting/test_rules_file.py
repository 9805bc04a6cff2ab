"""manage.py sync_alert_rules and export_alert_rules, the shipped file, and what is said of a wrong one."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from delivery.alerting.kinds import KINDS
from delivery.alerting.rule_rows import load
from delivery.alerting.rules import DEFAULTS
from delivery.alerting.rules_file.schema import file_schema
from delivery.management.commands.sync_alert_rules import DEFAULT_FILE
from delivery.models import AlertRule
from subscriptions.models import Endpoint
from tests.delivery.alerting.scene import NOW
from tests.factories import EndpointFactory, TenantFactory

pytestmark = pytest.mark.django_db
EVERYWHERE = {"kind": "failure_rate", "threshold": "8 %", "window": "10m"}
OF_TENANT = {"kind": "failure_rate", "tenant": "acme", "threshold": "20 %", "clear_below": "5 %"}
OF_ENDPOINT = {"kind": "latency", "tenant": "acme", "endpoint": "ci-cd", "threshold": "1m 30s", "severity": "info"}


@pytest.fixture
def endpoint() -> Endpoint:
    made: Endpoint = EndpointFactory(tenant=TenantFactory(slug="acme"), slug="ci-cd")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alert-rules.yaml"


def run(file: Path, *rules: dict[str, Any], **options: Any) -> str:
    file.write_text(yaml.safe_dump({"version": 1, "rules": list(rules)}, sort_keys=False))
    out = StringIO()
    call_command("sync_alert_rules", file, stdout=out, **options)
    return out.getvalue()


def test_shipped_file_says_the_defaults() -> None:
    call_command("sync_alert_rules", stdout=StringIO())
    rules = load()
    measured = [kind.kind for kind in KINDS.values() if kind.measured]
    assert set(AlertRule.objects.values_list("kind", flat=True)) == {kind.value for kind in measured}
    for kind in measured:
        found, default = rules.of(kind), DEFAULTS[kind]
        assert {name: getattr(found, name) for name in found.__slots__ if name != "stored"} == {
            name: getattr(default, name) for name in default.__slots__ if name != "stored"
        }
    assert AlertRule.objects.filter(managed=True).count() == len(measured)


def test_examples_of_the_shipped_file_can_be_used(file: Path) -> None:
    EndpointFactory(tenant=TenantFactory(slug="artisan-cloud"), slug="ci-cd")
    text = DEFAULT_FILE.read_text()
    lines = text[text.index("version:") :].splitlines()
    examples = [line.replace("# ", "", 1) if line.lstrip().startswith(("# - ", "#   ")) else line for line in lines]
    file.write_text("\n".join(examples))
    call_command("sync_alert_rules", file, stdout=StringIO())
    assert AlertRule.objects.exclude(tenant=None).count() == 3


def test_rules_are_made_changed_and_removed_as_the_file_says(file: Path, endpoint: Endpoint) -> None:
    assert run(file, EVERYWHERE, OF_TENANT).splitlines()[-1] == "2 added, 0 changed, 0 removed, 0 unchanged"
    everywhere = AlertRule.objects.get(tenant=None)
    assert (everywhere.threshold, everywhere.clear_below, everywhere.window_s) == (0.08, 0.04, 600)
    said = run(file, {**EVERYWHERE, "threshold": "9 %"}, OF_ENDPOINT)
    assert said.splitlines() == [
        "~ rule failure_rate everywhere",
        "    - threshold: 8 %",
        "    + threshold: 9 %",
        "    - clear_below: 4 %",
        "    + clear_below: 4.5 %",
        "+ rule latency acme/ci-cd",
        "    + threshold: 1m 30s",
        "    + clear_below: 45s",
        "    + window: 5m",
        "    + minimum_count: 20",
        "    + for: 0s",
        "    + clear_for: 1m",
        "    + severity: info",
        "    + enabled: true",
        "- rule failure_rate acme  the next wider rule holds",
        "1 added, 1 changed, 1 removed, 0 unchanged",
    ]
    entries = AuditEntry.objects.order_by("pk").values_list("chain", "actor", "action")
    assert list(entries)[2:] == [
        ("platform", "system:sync_alert_rules", "alert_rule.changed"),
        ("acme", "system:sync_alert_rules", "alert_rule.created"),
        ("acme", "system:sync_alert_rules", "alert_rule.removed"),
    ]
    assert AuditEntry.objects.get(action="alert_rule.changed").details["threshold"] == ["8 %", "9 %"]


def test_dry_run_tells_the_plan_and_changes_nothing(file: Path) -> None:
    assert run(file, EVERYWHERE, dry_run=True).endswith("dry run: nothing was written\n")
    assert not AlertRule.objects.exists()
    assert not AuditEntry.objects.exists()


def test_exit_code_is_two_when_there_are_changes_and_it_is_asked_for(file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run(file, EVERYWHERE, detailed_exitcode=True)
    assert caught.value.code == 2
    assert run(file, EVERYWHERE, detailed_exitcode=True) == "0 added, 0 changed, 0 removed, 1 unchanged\n"


def test_rule_made_by_hand_is_taken_over_only_when_it_is_told_to(file: Path) -> None:
    AlertRule.objects.create(kind="failure_rate", threshold=0.3, clear_below=0.1, window_s=300)
    with pytest.raises(CommandError, match="nothing was changed"):
        run(file, EVERYWHERE, OF_ENDPOINT | {"tenant": None, "endpoint": None})
    with pytest.raises(CommandError, match="Without --dry-run this would be refused"):
        run(file, EVERYWHERE, dry_run=True)
    assert AlertRule.objects.get().threshold == 0.3
    assert "    ~ owner: now the file\n" in run(file, EVERYWHERE, adopt=True)
    assert AlertRule.objects.values_list("threshold", "managed").get() == (0.08, True)


def test_rule_made_by_hand_of_another_scope_and_a_mute_stay(file: Path, endpoint: Endpoint) -> None:
    AlertRule.objects.create(kind="failure_rate", tenant=endpoint.tenant, threshold=0.3, clear_below=0.1, window_s=300)
    run(file, EVERYWHERE)
    AlertRule.objects.filter(tenant=None).update(muted_until=NOW, mute_reason="moving")
    run(file, {**EVERYWHERE, "threshold": "9 %"})
    assert AlertRule.objects.count() == 2
    assert AlertRule.objects.values_list("threshold", "muted_until").get(tenant=None) == (0.09, NOW)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: []", "version: takes 1, the version of this format"),
        ("version: 1\nrulez: []", "line 2, rulez: is not known here; known are rules, version"),
        ("version: 1\nrules:\n- threshold: 1", "line 3, rules[0].kind: is missing"),
        ("version: 1\nrules:\n- kind: rate", "line 3, rules[0].kind: takes one of failure_rate, tenant_failure_rate"),
        ("version: 1\nrules:\n- kind: latency\n  treshold: 1", "line 4, rules[0].treshold: is not known here"),
        ("version: 1\nrules:\n- {kind: latency}\n- {kind: latency}", "line 4, rules[1]: stands twice"),
        ("version: 1\nrules:\n- kind: failure_rate\n  threshold: 5", "line 4, rules[0].threshold: takes a percentage"),
        ("version: 1\nrules:\n- kind: latency\n  threshold: 5 %", "line 4, rules[0].threshold: takes seconds"),
        ("version: 1\nrules:\n- kind: latency\n  tenant: nobody", "line 4, rules[0].tenant: names no tenant 'nobody'"),
        (
            "version: 1\nrules:\n- kind: latency\n  tenant: acme\n  endpoint: x",
            "line 5, rules[0].endpoint: names no endpoint 'x' of the tenant acme",
        ),
        ("version: 1\nrules:\n- kind: latency\n  endpoint: ci-cd", "line 3, rules[0].tenant: is missing"),
        (
            "version: 1\nrules:\n- kind: oldest_due\n  tenant: acme",
            "line 4, rules[0].tenant: is not taken by oldest_due",
        ),
        (
            "version: 1\nrules:\n- kind: breaker_open\n  threshold: 1",
            "line 4, rules[0].threshold: is not taken by breaker_open, which takes for, clear_for, severity, enabled",
        ),
    ],
)
def test_mistake_is_named_with_its_line_and_field(file: Path, endpoint: Endpoint, text: str, problem: str) -> None:
    file.write_text(text)
    with pytest.raises(CommandError, match="nothing was changed") as caught:
        call_command("sync_alert_rules", file, stdout=StringIO())
    assert problem in str(caught.value)
    assert not AlertRule.objects.exists()


def test_export_is_read_back_without_a_change(file: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    failing = {"kind": "endpoint.failing", "severity": "critical", "enabled": False}
    run(file, EVERYWHERE, OF_TENANT, OF_ENDPOINT, failing)
    exported = tmp_path / "exported.yaml"
    call_command("export_alert_rules", output=exported)
    out = StringIO()
    call_command("sync_alert_rules", exported, stdout=out)
    assert out.getvalue() == "0 added, 0 changed, 0 removed, 4 unchanged\n"
    validator = jsonschema_rs.Draft202012Validator(file_schema())
    assert validator.is_valid(yaml.safe_load(exported.read_text()))


def test_schema_is_published_and_knows_the_shipped_file() -> None:
    published = json.loads(DEFAULT_FILE.with_name("alert-rules.schema.json").read_text())
    assert published == file_schema()
    validator = jsonschema_rs.Draft202012Validator(file_schema())
    validator.validate(yaml.safe_load(DEFAULT_FILE.read_text()))
    for wrong in ({"kind": "latency", "treshold": 1}, {"kind": "breaker_open", "threshold": 1}, {"kind": "rate"}, {}):
        assert not validator.is_valid({"version": 1, "rules": [wrong]})
