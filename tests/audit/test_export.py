"""An export holds what somebody else needs to verify the chain, and verify_audit finds what was done to the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.chain import Link, digest
from audit.export import ExportError, read
from audit.models import AuditEntry
from eventcenter import audit_heads
from tests.audit.tampering import written

pytestmark = pytest.mark.django_db(transaction=True)
Lines = list[dict[str, Any]]


def export(*arguments: str) -> Lines:
    out = io.StringIO()
    call_command("export_audit", *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def verify(path: Path, lines: Lines) -> tuple[int, Lines]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = io.StringIO()
    try:
        call_command("verify_audit", "--json", "--file", str(path), stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, json.loads(out.getvalue())["faults"]
    return 0, json.loads(out.getvalue())["faults"]


@pytest.fixture
def trail(audit_topics: None) -> list[AuditEntry]:
    made = written("acme", 5)
    written("globex", 2)
    audit_heads.publish(timezone.now())
    return made


def test_lines_hold_all_that_the_digests_cover(trail: list[AuditEntry]) -> None:
    lines = export("--chain", "acme")

    assert [line.pop("kind") for line in lines] == ["entry"] * 5 + ["head"]
    head = lines.pop()
    previous = bytes(32)
    for line, row in zip(lines, trail, strict=True):
        own = bytes.fromhex(line.pop("digest"))
        assert bytes.fromhex(line.pop("previous")) == previous
        assert own == digest(previous, Link(**line | {"at": row.at}))
        previous = own
    assert (head["position"], head["digest"]) == (5, previous.hex())


def test_every_chain_is_written_when_none_is_named(trail: list[AuditEntry]) -> None:
    lines = export()

    assert [(line["chain"], line["kind"]) for line in lines] == (
        [("acme", "entry")] * 5 + [("acme", "head")] + [("globex", "entry")] * 2 + [("globex", "head")]
    )


def test_part_is_written_and_verifies_when_moments_are_given(trail: list[AuditEntry], tmp_path: Path) -> None:
    lines = export("--chain", "acme", "--since", trail[1].at.isoformat(), "--until", trail[3].at.isoformat())

    assert [line["position"] for line in lines] == [2, 3]
    assert verify(tmp_path / "part.jsonl", lines) == (2, [])
    assert export("--since", (timezone.now() + timedelta(days=1)).isoformat()) == []


def test_file_is_as_it_was_written_when_nobody_touched_it(trail: list[AuditEntry], tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    call_command("export_audit", "--output", str(path), stderr=io.StringIO())
    AuditEntry.objects.all()  # the file alone is read

    assert verify(tmp_path / "again.jsonl", [json.loads(line) for line in path.read_text().splitlines()]) == (0, [])
    with pytest.raises(CommandError, match="--output takes a file that can be made"):
        call_command("export_audit", "--output", str(path))


def changed(lines: Lines) -> None:
    lines[2]["actor"] = "user:nobody"


def removed(lines: Lines) -> None:
    del lines[2]


def tail_removed(lines: Lines) -> None:
    del lines[4]


def all_removed(lines: Lines) -> None:
    del lines[:5]


def swapped(lines: Lines) -> None:
    lines[1]["position"], lines[3]["position"] = 4, 2
    lines[1], lines[3] = lines[3], lines[1]


def head_forged(lines: Lines) -> None:
    lines[5]["position"] = 4


@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        (changed, "changed"),
        (removed, "removed"),
        (tail_removed, "tail_removed"),
        (all_removed, "chain_removed"),
        (swapped, "reordered"),
        (head_forged, "head_refused"),
    ],
)
def test_fault_is_found_when_the_file_was_tampered_with(
    trail: list[AuditEntry], tmp_path: Path, deed: Callable[[Lines], None], kind: str
) -> None:
    lines = export()
    deed(lines)

    code, faults = verify(tmp_path / "bad.jsonl", lines)

    assert code == 1
    assert kind in [fault["kind"] for fault in faults]
    assert {fault["chain"] for fault in faults} == {"acme"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "line 1 is neither"),
        ("\n[]", "line 2 is neither"),
        ('{"kind": "other"}', "kind takes entry or head"),
        ('{"kind": "head"}', "is no head"),
        ('{"kind": "entry", "previous": "", "digest": "", "at": "2025-11-05T12:00:00+00:00"}', "it takes chain"),
        ('{"kind": "entry", "previous": "xx"}', "line 1 is neither"),
        ("3", "line 1 is neither"),
        ("null", "line 1 is neither"),
    ],
)
def test_file_is_refused_with_the_line_when_it_is_no_export(text: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        read(text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--since", "yesterday"], "--since takes a moment with a zone"),
        (["--until", "2025-11-05T12:00:00"], "--until takes a moment with a zone"),
        (["--chain", "nobody"], "--chain takes a chain that has entries; nobody has none"),
    ],
)
def test_export_says_what_it_takes_when_an_argument_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("export_audit", *arguments)
