"""The verifier in docs/operations/audit.md does what the page says, run as somebody else would run it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from audit.verify import FaultKind
from eventcenter import audit_heads
from tests.audit.tampering import written

PAGE = (Path(settings.BASE_DIR) / "docs" / "operations" / "audit.md").read_text()


@pytest.fixture
def export(transactional_db: None, audit_topics: None, tmp_path: Path) -> Path:
    written("acme", 5)
    written("platform", 2)
    audit_heads.publish(timezone.now())
    path = tmp_path / "acme.jsonl"
    call_command("export_audit", "--output", str(path), stderr=io.StringIO())
    return path


def run(export: Path) -> subprocess.CompletedProcess[str]:
    program = export.parent / "verify.py"
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program.write_text(code)
    keys = io.StringIO()
    call_command("verify_audit", "--public-keys", stdout=keys)
    arguments = [sys.executable, str(program), str(export), *keys.getvalue().split()]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=export.parent)


@pytest.mark.kafka
def test_verifier_of_the_page_is_content_when_nobody_touched_the_export(export: Path) -> None:
    done = run(export)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "acme: up to 5, signed up to 5\nplatform: up to 2, signed up to 2\n"


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("line", "text", "said"),
    [(1, '"n":1', "acme#2: changed"), (2, None, "acme#4: does not follow"), (4, None, "acme#5: the signed head")],
)
def test_verifier_of_the_page_finds_it_when_a_line_is_changed_or_gone(
    export: Path, line: int, text: str | None, said: str
) -> None:
    lines = export.read_text().splitlines()
    lines[line : line + 1] = [lines[line].replace(text, '"n":9')] if text else []
    export.write_text("\n".join(lines))

    done = run(export)

    assert done.returncode == 1
    assert said in done.stdout


@pytest.mark.kafka
def test_verifier_of_the_page_stops_when_a_head_is_forged(export: Path) -> None:
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    head = next(line for line in lines if line["kind"] == "head")
    head["position"] = 4
    export.write_text("\n".join(map(json.dumps, lines)))

    done = run(export)

    assert done.returncode == 1
    assert "InvalidSignature" in done.stderr


def test_page_names_every_kind_of_fault() -> None:
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == {kind.upper() for kind in FaultKind}
