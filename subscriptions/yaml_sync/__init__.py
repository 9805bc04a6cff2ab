"""Subscriptions as a file: read and check it whole (spec), compare it with the tables (plan), bring them up to it (apply)."""

from __future__ import annotations

from subscriptions.yaml_sync.apply import sync
from subscriptions.yaml_sync.plan import Change, Plan
from subscriptions.yaml_sync.reader import SpecError
from subscriptions.yaml_sync.spec import FileSpec, parse_file, read

__all__ = ["Change", "FileSpec", "Plan", "SpecError", "parse_file", "read", "sync"]
