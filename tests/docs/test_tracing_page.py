"""docs/operations/tracing.md tells the spans and attributes that the code makes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from eventcenter.tracing import names
from eventcenter.tracing.names import SPANS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations" / "tracing.md").read_text()
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<kind>\w+) \| (?P<by>[^|]+) \| (?P<attributes>[^|]+) \|$", re.MULTILINE)
MAKERS = (
    "config/request_context.py",
    "delivery/spans.py",
    "eventcenter/tracing/bus_spans.py",
    "eventcenter/tracing/spans.py",
)


def test_page_lists_the_spans_when_compared_with_the_code() -> None:
    below = PAGE.split("## Spans", 1)[1]
    told = [
        (row["name"], row["kind"], row["by"], tuple(re.findall("`([^`]+)`", row["attributes"])))
        for row in ROW.finditer(below)
    ]

    assert told == [(span.name, span.kind.name.lower(), span.made_by, span.attributes) for span in SPANS]


def test_every_attribute_has_its_place_in_the_table_when_the_code_sets_it() -> None:
    used = {
        node.attr
        for maker in MAKERS
        for node in ast.walk(ast.parse((ROOT / maker).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "names"
    }
    listed = {attribute for span in SPANS for attribute in span.attributes} | {span.name for span in SPANS}

    assert {getattr(names, name) for name in used} == listed - {span.name for span in SPANS if "{" in span.name}
