"""What the file would change on a row, and what somebody else has changed on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from subscriptions.yaml_sync import variables
from subscriptions.yaml_sync.applied import Applied
from subscriptions.yaml_sync.plan import DriftedField, FieldChange, shown
from subscriptions.yaml_sync.state import State

NOT_SHOWN = "value not shown"


def differences(before: State, after: State) -> list[FieldChange]:
    """`after` is the file's."""
    changed = [_plain_change(name, before, after) for name in _differing(before.plain, after.plain)]
    return changed + [_secret_change(name, before, after) for name in _differing(before.secrets, after.secrets)]


def drift(applied: Applied, current: State, wanted: State) -> list[DriftedField]:
    """What is neither as the last sync left it nor as the file has it. A change by hand that the file agrees with is none."""
    plain = [
        DriftedField(name, *(_shown_plain(name, state, applied, wanted) for state in (wanted, applied.state, current)))
        for name in _differing(current.plain, wanted.plain)
        if current.plain.get(name) != applied.state.plain.get(name)
    ]
    secret = [
        DriftedField(name, _presence(name, wanted.secrets), _presence(name, applied.secret_names), _now(name, current))
        for name in _differing(current.secrets, wanted.secrets)
        if applied.is_resealed(name)
    ]
    return plain + secret


def settings_of(new: State) -> list[FieldChange]:
    """What is set on a row that is made."""
    return [item for item in differences(State({}), new) if item.note or item.after not in (None, [], False)]


def audited(change: FieldChange) -> str:
    """For the trail, which people without the file read: a URL that stands in the file may hold a token."""
    if change.name == "url":
        written = str(change.after or "")
        told = written.partition("?")[0] if variables.names(written) else origin(written)
        change = replace(change, after=told or None)
    return str(change)


def origin(url: object) -> str:
    """Scheme and host: the rest may hold a token."""
    parts = urlsplit(str(url or ""))
    return f"{parts.scheme}://{parts.hostname}/…" if url else ""


def _plain_change(name: str, before: State, after: State) -> FieldChange:
    old, new = before.plain.get(name), after.plain.get(name)
    if name == "url":
        return FieldChange(name, origin(old) or None, after.written.get(name) or new or None)
    if name in after.written:
        return FieldChange(name, note=f"changed, {NOT_SHOWN}")
    return FieldChange(name, _or_none(old), _or_none(new))


def _secret_change(name: str, before: State, after: State) -> FieldChange:
    if name not in before.secrets:
        return FieldChange(name, note=f"set, {NOT_SHOWN}")
    return FieldChange(name, note=f"changed, {NOT_SHOWN}" if name in after.secrets else "removed")


def _shown_plain(name: str, state: State, applied: Applied, wanted: State) -> str:
    value = state.plain.get(name)
    if name == "url":
        return state.written.get(name) or origin(value) or shown(None)
    if name in wanted.written or name in applied.state.written:
        return state.written.get(name) or NOT_SHOWN
    return shown(_or_none(value))


def _presence(name: str, names: Iterable[str]) -> str:
    return "set" if name in names else "not set"


def _now(name: str, current: State) -> str:
    return "set to another value" if name in current.secrets else "removed"


def _or_none(value: object) -> object:
    return None if value == "" else value


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    names = [*after, *(name for name in before if name not in after)]
    return [name for name in names if before.get(name) != after.get(name)]
