"""Alert rules as a file: read and check it whole (document), bring the table up to it (apply), write it (export), and its
JSON Schema (schema). The manners are those of subscriptions.yaml_sync."""

from __future__ import annotations

from delivery.alerting.rules_file.apply import sync
from delivery.alerting.rules_file.document import FileSpec, RuleSpec, read_document

__all__ = ["FileSpec", "RuleSpec", "read_document", "sync"]
