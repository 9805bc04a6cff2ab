"""What is shipped for Prometheus, Grafana and Datadog says what our own rules say, by names that we serve."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from config.stack.processes import ROOT, procfile
from config.stack.prometheus import configuration
from delivery.alerting.export import OURS_ALONE, SAID_ELSEWHERE, SHIPPED_RUNBOOK, labels_of, name_of, number
from delivery.alerting.kinds import Kind, Scope
from delivery.alerting.prometheus_rules import measures
from delivery.console.runbook import runbook_html
from delivery.telemetry.catalog import BY_NAME, METRICS, Type

SHIPPED = ROOT / "config" / "observability"
RULES = SHIPPED / "prometheus" / "rules.yml"
DASHBOARD = SHIPPED / "grafana" / "dashboards" / "event-delivery.json"
MONITORS = SHIPPED / "datadog" / "monitors.json"
KINDS = pytest.mark.parametrize("kind", SAID_ELSEWHERE, ids=lambda kind: kind.kind.value)

SERVED = {
    *BY_NAME,
    *(f"{m.name}_{end}" for m in METRICS if m.type is Type.HISTOGRAM for end in ("bucket", "count", "sum")),
}
# Grafana's own: https://grafana.com/docs/grafana/latest/dashboards/variables/add-template-variables/#global-variables
GLOBALS = {"$__rate_interval": "5m", "$__range": "6h", "$tenant": ".*", "$endpoint": ".*"}
PANELS = {"row", "stat", "timeseries", "heatmap"}


def printed(command: str, *options: str) -> str:
    out = io.StringIO()
    call_command(command, *options, stdout=out)
    return out.getvalue()


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions(panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Title and PromQL of each target, with Grafana's variables filled in."""
    for panel in panels:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            for name, value in GLOBALS.items():
                expr = expr.replace(name, value)
            yield panel["title"], expr


def metric_names(expr: str) -> set[str]:
    return set(re.findall(r"\bevent_[a-z0-9_]+\b(?!:)", expr.replace("event_center:", "")))


def run(promtool: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *argv], capture_output=True, text=True, check=False, cwd=SHIPPED / "prometheus")


@pytest.mark.parametrize(
    ("command", "file"), [("export_prometheus_rules", RULES), ("export_datadog_monitors", MONITORS)]
)
def test_shipped_file_is_what_its_command_makes(command: str, file: Path) -> None:
    assert file.read_text() == printed(command), f"manage.py {command} > {file.relative_to(ROOT)}"
    elsewhere = printed(command, "--runbook", "https://events.example/runbook/")
    assert elsewhere == file.read_text().replace(SHIPPED_RUNBOOK, "https://events.example/runbook")


def test_promtool_is_content_when_it_checks_rules_and_configuration(promtool: Path, tmp_path: Path) -> None:
    local = tmp_path / "local.yml"
    local.write_text(configuration(tmp_path / "metrics_targets.json"))
    for argv in (["check", "rules", RULES], ["check", "config", "prometheus.yml"], ["check", "config", local]):
        done = run(promtool, *argv)
        assert done.returncode == 0, done.stderr


def test_rules_fire_hold_on_and_end_when_promtool_plays_them(promtool: Path) -> None:
    done = run(promtool, "test", "rules", "rules_test.yml")

    assert done.returncode == 0, done.stdout + done.stderr


@KINDS
def test_prometheus_rule_is_ours_when_compared_with_its_kind(kind: Kind) -> None:
    rule = ALERTS[name_of(kind)]

    assert rule["labels"] == {"severity": kind.severity, "kind": kind.kind.value}
    assert rule.get("for", "0s") == f"{kind.for_s}s"
    assert rule["keep_firing_for"] == f"{kind.clear_for_s}s"
    numbers = [float(found) for found in re.findall(r"> ([0-9.]+)", rule["expr"])]
    assert numbers == list(dict.fromkeys([kind.threshold, kind.clear_below]))
    assert (f">= {kind.minimum_count}" in rule["expr"]) == bool(kind.minimum_count)
    assert bool(measures(kind).count) >= bool(kind.minimum_count)
    windows = set(
        re.findall(r"(?:\[|offset )(\d+)s", RECORDS[f"event_center:{kind.kind.value.replace('.', '_')}:value"])
    )
    assert windows == ({str(kind.window_s)} if "increase(" in measures(kind).value else set())


def test_rules_are_ours_and_four_more_when_counted() -> None:
    more = {f"EventCenter{name}" for name in ("EvaluatorMissing", "DatabaseAway", "TargetDown", "Unseen")}

    assert set(ALERTS) == {name_of(kind) for kind in SAID_ELSEWHERE} | more


def test_sections_exist_when_a_rule_or_a_monitor_links_to_the_runbook() -> None:
    text = RULES.read_text() + MONITORS.read_text()
    for section in set(re.findall(rf"{re.escape(SHIPPED_RUNBOOK)}#([\w-]+)", text)):
        assert f'id="{section}"' in runbook_html(), section


def test_names_and_labels_are_served_when_a_rule_asks_for_them() -> None:
    for rule in rules():
        for name in metric_names(rule["expr"]):
            assert name in SERVED, name
    for kind in SAID_ELSEWHERE:
        for name in metric_names(measures(kind).value) - {"event_delivery_up"}:  # that one only says since when
            metric = BY_NAME.get(name) or BY_NAME[name.rpartition("_")[0]]
            assert set(labels_of(kind)) <= set(metric.labels), name
            if kind.scope is Scope.TENANT:  # its other endpoints' counts, which add up to the tenant's
                metric = BY_NAME[name.replace("event_endpoint", "event_tenant")]
            assert kind.kind in metric.alerts, f"the catalog does not say that {kind.kind} looks at {name}"


def test_expressions_parse_when_promtool_reads_the_dashboards(promtool: Path, tmp_path: Path) -> None:
    found = list(expressions(dashboard()["panels"]))
    records = [{"record": f"panel:{number}", "expr": expr} for number, (_, expr) in enumerate(found)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    done = run(promtool, "check", "rules", file)

    assert len(found) > 40
    assert done.returncode == 0, done.stderr


def test_dashboard_asks_only_for_what_is_served() -> None:
    shown = {name for _, expr in expressions(dashboard()["panels"]) for name in metric_names(expr)}
    asked = {name for variable in dashboard()["templating"]["list"] for name in metric_names(str(variable["query"]))}

    assert shown | asked <= SERVED
    assert {"event_delivery_oldest_due_seconds", "event_endpoint_latency_seconds_bucket"} <= shown


def test_dashboard_is_laid_out_when_its_panels_are_placed() -> None:
    page = dashboard()
    panels = page["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        squares = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not squares & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24
        taken |= squares
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == PANELS
    assert (page["uid"], page["title"], page["id"]) == ("event-delivery", "Runtime Ops / Event Delivery", None)
    rows = [panel["title"].partition(",")[0] for panel in panels if panel["type"] == "row"]
    assert rows == ["Objectives", "Traffic", "Latency", "Failures", "Backlog", "Signatures", "Processes"]


def test_panels_ask_the_chosen_data_source_and_explain_themselves() -> None:
    page = dashboard()
    assert [variable["name"] for variable in page["templating"]["list"]] == ["datasource", "tenant", "endpoint"]
    for panel in page["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            for asked in (panel, *panel["targets"]):
                assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_thresholds_are_the_rules_when_a_panel_draws_them() -> None:
    drawn = {
        panel["title"]: [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        for panel in dashboard()["panels"]
        if panel["type"] != "row" and panel["type"] != "heatmap"
    }
    rule = {kind.runbook: kind.threshold for kind in SAID_ELSEWHERE}

    assert drawn["Initial success"] == [None, 0.97]
    assert drawn["Cumulative success"] == [None, 0.995]
    assert drawn["Duplicates"] == [None, 0.005]
    assert drawn["Latency, 95th percentile"] == [None, 5, rule["latency"]]
    assert drawn["Failure rate by endpoint"] == [None, rule["failure-rate"]]
    assert drawn["Oldest due delivery"] == [None, rule["oldest-due"]]
    assert drawn["Consumer lag"] == [None, rule["consumer-lag"]]
    assert drawn["Outbox age"] == [None, rule["outbox-stuck"]]
    assert drawn["Silence"] == [None, rule["process-missing"]]


@KINDS
def test_datadog_monitor_is_ours_when_compared_with_its_kind(kind: Kind) -> None:
    [monitor] = [found for found in json.loads(MONITORS.read_text()) if found["name"].startswith(f"{name_of(kind)}:")]
    thresholds = monitor["options"]["thresholds"]

    assert thresholds["critical"] == kind.threshold
    assert thresholds.get("critical_recovery", kind.threshold) == kind.clear_below
    assert monitor["query"].endswith(f" > {number(kind.threshold)}")
    assert ("is_greater(" in monitor["query"]) == (kind.unit == "share")
    assert kind.unit != "share" or f", {kind.minimum_count - 1}) > " in monitor["query"]
    dotted = {metric.dotted: metric for metric in METRICS if metric.dotted}
    names = set(re.findall(r"event\.[a-z0-9_.]+[a-z0-9]", monitor["query"].replace(".as_count", " ")))
    assert names
    for name in names:
        assert set(labels_of(kind)) <= set(dotted[name].labels), name
        assert (dotted[name].type is Type.COUNTER) == (f"sum:{name}" in monitor["query"])
    assert f"severity:{kind.severity}" in monitor["tags"]
    assert f"#{kind.runbook}" in monitor["message"]


def test_monitors_are_ours_when_counted() -> None:
    assert len(json.loads(MONITORS.read_text())) == len(SAID_ELSEWHERE)


def test_what_others_cannot_say_is_listed() -> None:
    page = (ROOT / "docs" / "operations" / "observability.md").read_text()
    for kind in OURS_ALONE:
        assert f"`{kind.value}`" in page


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def test_prometheus_asks_every_process_of_compose_by_its_port(compose: dict[str, Any]) -> None:
    scraped = yaml.safe_load((SHIPPED / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    web, processes = (job["dns_sd_configs"][0] for job in scraped)

    assert (web["names"], web["port"]) == (["web"], int(compose["services"]["web"]["environment"]["PORT"]))
    assert sorted(processes["names"]) == sorted(procfile().keys() - {"web", "beat"})
    assert str(processes["port"]) == compose["services"]["telemetry"]["environment"]["METRICS_PORT"]
    assert compose["services"]["telemetry"]["environment"]["METRICS_HOST"] == "0.0.0.0"
    assert compose["services"]["web"]["environment"]["ALLOWED_HOSTS"].endswith(",web")


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_compose_starts_it_only_when_the_profile_is_asked_for(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]

    assert service["profiles"] == ["observability"]
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for volume in service["volumes"]:
        source = volume.partition(":")[0]
        assert (ROOT / source).is_dir() if source.startswith(".") else source in compose["volumes"]


def test_grafana_finds_prometheus_and_the_dashboard_when_compose_starts_them(compose: dict[str, Any]) -> None:
    [source] = yaml.safe_load((SHIPPED / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    [provider] = yaml.safe_load((SHIPPED / "grafana/provisioning/dashboards/event-center.yaml").read_text())[
        "providers"
    ]
    mounted = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]

    assert source["url"] == "http://prometheus:9090"
    assert provider["options"]["path"] in mounted
