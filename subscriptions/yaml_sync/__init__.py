"""Subscriptions as a file: read and check it whole (spec), compare it with the tables (plan), bring them up to it (apply),
write it from them (export). Its JSON Schema is made from the same rules (schema)."""

from __future__ import annotations

from subscriptions.yaml_sync.apply import Options, sync
from subscriptions.yaml_sync.plan import Change, Plan, SyncRefusedError
from subscriptions.yaml_sync.problems import SpecError
from subscriptions.yaml_sync.spec import FileSpec, parse_file, read

__all__ = ["Change", "FileSpec", "Options", "Plan", "SpecError", "SyncRefusedError", "parse_file", "read", "sync"]
