"""Rotation of what seals secrets: data keys come under the first master key, values under the data key in use.

Each step looks for what is left to be done and leaves the rest: an interrupted run is taken up by the next. Values are written
back only where they are still what was read, so that a change made meanwhile stands, and processes go on: whatever they
hold or read opens before, during and after.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import models, transaction

from audit.trail import PLATFORM_CHAIN, Actor, record
from eventcenter import crypto, data_keys
from eventcenter.cipher import UnsealError
from eventcenter.models import DataKey
from eventcenter.sealed_columns import SealedColumn, sealed_columns

logger = logging.getLogger(__name__)

BATCH = 200  # rows of one transaction

Say = Callable[[str], None]


@dataclass
class Report:
    """What was done, or in a dry run would be. `unreadable`: where, and why; nothing was changed there."""

    rewrapped: int = 0
    resealed: int = 0
    new_data_key: str = ""
    unreadable: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)  # master key → data keys and values that need it

    @property
    def removable(self) -> list[str]:
        """Names in ENCRYPTION_KEYS that nothing needs any more. The first one seals what comes: it stays."""
        return [name for name, _ in settings.ENCRYPTION_KEYS[1:] if name not in self.needed]


def rotate(actor: Actor, say: Say, *, dry_run: bool, new_data_key: bool = False, everything: bool = False) -> Report:
    """`new_data_key`: values come under a new one. `everything`: under the one in use; takes up an interrupted
    `new_data_key`. Without both only values that a master key sealed itself are sealed anew."""
    report = Report()
    if new_data_key:
        _replace_data_key(actor, report, dry_run)
    _rewrap(report, say, dry_run)
    current = "" if new_data_key and dry_run else _current()
    for column in sealed_columns():
        _reseal(column, report, say, dry_run, current if everything or new_data_key else None)
    report.needed = masters_needed()
    if not dry_run:
        details: dict[str, object] = {"master_key": settings.ENCRYPTION_KEYS[0][0], "data_keys": report.rewrapped}
        details |= {"values": report.resealed, "unreadable": len(report.unreadable), "removable": report.removable}
        record(PLATFORM_CHAIN, actor, "encryption_key.rotated", "encryption_keys", details)
    return report


def masters_needed() -> dict[str, int]:
    """Of each master key's name: how many data keys it wraps and how many values it sealed itself."""
    found = Counter(DataKey.objects.values_list("master_key_id", flat=True))
    for column in sealed_columns():
        for rows in _batches(column):
            found.update(master for _, value in rows if (master := crypto.master_of(value)))
    return dict(found)


def _replace_data_key(actor: Actor, report: Report, dry_run: bool) -> None:
    if dry_run:
        report.new_data_key = "(a new one)"
        return
    with transaction.atomic():
        made = data_keys.replace_current()
        details: dict[str, object] = {"data_key": made.pk, "master_key": made.master_key_id}
        record(PLATFORM_CHAIN, actor, "data_key.replaced", f"data_key:{made.pk}", details)
    report.new_data_key = made.pk


def _rewrap(report: Report, say: Say, dry_run: bool) -> None:
    old = DataKey.objects.exclude(master_key_id=settings.ENCRYPTION_KEYS[0][0]).order_by("pk")
    ids = list(old.values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        with transaction.atomic():
            for row in old.select_for_update().filter(pk__in=ids[start : start + BATCH]):
                _rewrap_one(row, report, dry_run)
        say(f"data keys: {min(start + BATCH, len(ids))} of {len(ids)}")


def _rewrap_one(row: DataKey, report: Report, dry_run: bool) -> None:
    try:
        key = data_keys.unwrap(row)
    except UnsealError as error:
        report.unreadable.append(f"data key {row.pk}: {error}")
        return
    if not dry_run:
        DataKey.objects.filter(pk=row.pk).update(**data_keys.wrapped_values(row.pk, key))
    report.rewrapped += 1


def _current() -> str:
    newest = DataKey.objects.filter(retired_at=None).order_by("-created_at", "-pk")
    return newest.values_list("pk", flat=True).first() or ""


def _reseal(column: SealedColumn, report: Report, say: Say, dry_run: bool, only: str | None) -> None:
    """`only`: the one data key that may have sealed a value; None: any may."""
    seen = 0
    for rows in _batches(column):
        with transaction.atomic():
            for pk, value in rows:
                if crypto.master_of(value) or (only is not None and crypto.sealed_by(value) != only):
                    _reseal_one(column, pk, value, report, dry_run)
        seen += len(rows)
        say(f"{column}: {seen} looked at")


def _reseal_one(column: SealedColumn, pk: Any, value: bytes, report: Report, dry_run: bool) -> None:
    try:
        text = crypto.unseal(value, column.purpose)
    except UnsealError as error:
        report.unreadable.append(f"{column} {pk}: {error}")
        return
    if dry_run:
        report.resealed += 1
        return
    same = column.model._base_manager.filter(**{"pk": pk, column.name: value})
    report.resealed += same.update(**{column.name: crypto.seal(text, column.purpose)})


def _batches(column: SealedColumn) -> Iterator[Sequence[tuple[Any, bytes]]]:
    """(primary key, value) in the order of primary keys; rows without a value are left out."""
    held: models.QuerySet[Any] = column.model._base_manager.filter(**{f"{column.name}__isnull": False}).order_by("pk")
    last: Any = None
    while True:
        after = held if last is None else held.filter(pk__gt=last)
        rows = [(pk, bytes(value)) for pk, value in after.values_list("pk", column.name)[:BATCH]]
        if not rows:
            return
        yield rows
        last = rows[-1][0]
