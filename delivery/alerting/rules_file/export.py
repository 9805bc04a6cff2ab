"""The stored rules as a file that `sync_alert_rules` reads back without a change."""

from __future__ import annotations

import yaml

from delivery.alerting.kinds import RuleKind
from delivery.alerting.rule_rows import rule_of
from delivery.alerting.rule_values import ENABLED, Values, written
from delivery.alerting.rules_file.document import VERSION
from delivery.models import AlertRule

LINE_CHARS = 120
HEAD = """\
# yaml-language-server: $schema=alert-rules.schema.json
# Written by `manage.py export_alert_rules`. Read it back with
#
#   python manage.py sync_alert_rules THIS-FILE --dry-run
#
# Rules that were made or changed by hand need --adopt. Mutes are not written. docs/operations/alerting.md
"""


def export_rules() -> str:
    """Equal tables give equal files."""
    order = {kind: place for place, kind in enumerate(RuleKind.values)}
    rows = AlertRule.objects.select_related("tenant", "endpoint")
    found = sorted(rows, key=lambda row: (order[row.kind], *_scope(row).values()))
    data = {"version": VERSION, "rules": [_rule(row) for row in found]}
    return HEAD + str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=LINE_CHARS))


def _rule(row: AlertRule) -> dict[str, object]:
    kind = RuleKind(row.kind)
    told = written(kind, Values.of(rule_of(row)))
    if told[ENABLED] is True:
        del told[ENABLED]
    return {"kind": kind.value, **{name: slug for name, slug in _scope(row).items() if slug}, **told}


def _scope(row: AlertRule) -> dict[str, str]:
    return {"tenant": row.tenant.slug if row.tenant else "", "endpoint": row.endpoint.slug if row.endpoint else ""}
