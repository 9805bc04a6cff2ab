"""docs/operations/alerting.md says the kinds and their defaults as the code has them, and names the options there are."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from delivery.alerting.kinds import KINDS, Kind
from delivery.alerting.rule_values import FIELDS, Values, written
from delivery.alerting.rules import DEFAULTS
from delivery.management.commands.sync_alert_rules import Command

PAGE = (Path(settings.BASE_DIR) / "docs" / "operations" / "alerting.md").read_text()
COLUMNS = ("threshold", "clear_below", "window", "minimum_count", "for", "clear_for", "severity")


def row(kind: Kind) -> str:
    told = written(kind.kind, Values.of(DEFAULTS[kind.kind]))
    cells = [f"`{kind.kind.value}`", kind.scope.value, str(kind.kind.label)]
    return f"| {' | '.join([*cells, *(str(told.get(name, '–')) for name in COLUMNS)])} |"


def test_table_has_every_kind_with_its_defaults() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[\w.]+` \| (endpoint|tenant|platform) \|", line)]
    assert rows == [row(kind) for kind in KINDS.values()]


def test_every_key_of_a_rule_and_every_option_is_told() -> None:
    assert {name for name in FIELDS if f"`{name}`" not in PAGE} == set()
    parser = Command().create_parser("manage.py", "sync_alert_rules")
    own = {"--dry-run", "--adopt", "--detailed-exitcode"}
    known = {option for action in parser._actions for option in action.option_strings}
    assert own <= known
    assert {option for option in own if f"| `{option}` |" not in PAGE} == set()
